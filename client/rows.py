"""Reads the rows of a file as requests with inline evidence.

Real files of captions have stray quotes, NULs, broken UTF-8 and captions of several pages. No such row raises an
exception. Characters that the service would refuse are removed, long fields are cut, and each correction is counted.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from service.answering.request import (
    ID_PATTERN,
    MAX_CAPTION_CHARACTERS,
    MAX_ID_CHARACTERS,
    MAX_SUMMARY_CHARACTERS,
)

MAX_RECORD_LINES = 50
"""A quoted field of more lines than this counts as a stray quote."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_ID = re.compile(ID_PATTERN)
_MISSING = frozenset({"", "nan", "none", "null"})


class InputError(Exception):
    """The file cannot be sent. The message says what to change."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns; a column that is None is not read."""

    caption: str
    summary: str | None = None
    photo_id: str | None = None


@dataclass(slots=True)
class Rows:
    """The bodies to send, and the corrections, counted by kind."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    corrected: Counter[str] = field(default_factory=Counter)


def read_rows(path: Path, columns: Columns, limit: int | None = None) -> Rows:
    """Read a .csv, .tsv or .jsonl file.

    Args:
        path: the file.
        columns: the names of the columns.
        limit: the largest number of rows to read; None reads all.

    Raises:
        InputError: the file has another extension, lacks a column, or has no rows.
    """
    rows = Rows()
    text = path.read_bytes().decode("utf-8-sig", "replace")
    if "�" in text:
        rows.corrected["broken UTF-8 replaced, characters"] = text.count("�")
    match path.suffix.lower():
        case ".csv":
            records = _delimited(text, ",", columns, rows.corrected)
        case ".tsv":
            records = _delimited(text, "\t", columns, rows.corrected)
        case ".jsonl":
            documents = list(islice(_json_lines(text, rows.corrected), limit))
            if documents:
                _require(columns, list(dict.fromkeys(chain.from_iterable(documents))))
            records = iter(documents)
        case ending:
            raise InputError(f"{path.name} ends in {ending!r}; give a .csv, .tsv or .jsonl file.")
    for number, record in enumerate(islice(records, limit), start=1):
        rows.bodies.append(_body(record, columns, number, rows.corrected))
    if not rows.bodies:
        raise InputError(f"{path.name} has no rows.")
    return rows


def _body(record: dict[str, Any], columns: Columns, number: int, corrected: Counter[str]) -> dict[str, Any]:
    evidence = {"caption": _text(record.get(columns.caption), MAX_CAPTION_CHARACTERS, corrected)}
    if columns.summary:
        evidence["summary"] = _text(record.get(columns.summary), MAX_SUMMARY_CHARACTERS, corrected)
    given = record.get(columns.photo_id) if columns.photo_id else f"row-{number}"
    photo_id = "" if given is None else str(given)
    if len(photo_id) > MAX_ID_CHARACTERS or not _ID.fullmatch(photo_id):
        corrected["photo ids replaced by the row number"] += 1
        photo_id = f"row-{number}"
    return {"photo_id": photo_id, "evidence": evidence}


def _text(value: Any, limit: int, corrected: Counter[str]) -> str:
    text = "" if value is None else str(value)
    if text.strip().casefold() in _MISSING:
        return ""
    clean = _CONTROL.sub(" ", text)
    if clean != text:
        corrected["fields with control characters removed"] += 1
    if len(clean) > limit:
        corrected[f"fields cut to {limit} characters"] += 1
    return clean[:limit]


def _delimited(text: str, delimiter: str, columns: Columns, corrected: Counter[str]) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    records = _records(text, delimiter, corrected)
    header = next(records, [])
    _require(columns, header)
    for record in records:
        if len(record) != len(header):
            corrected["rows with more or fewer fields than the header"] += 1
        yield dict(zip(header, record, strict=False))


def _require(columns: Columns, present: Sequence[str]) -> None:
    """Raise InputError if a column is not among those of the file."""
    for name in (columns.caption, columns.summary, columns.photo_id):
        if name and name not in present:
            raise InputError(f"There is no column {name!r}; the columns are {', '.join(present[:20])}.")


def _records(text: str, delimiter: str, corrected: Counter[str]) -> Iterator[list[str]]:
    """Split into records. If a quote does not close, only its own line is read without quoting."""
    lines = io.StringIO(text, newline="").readlines()
    position, width = 0, 0
    while position < len(lines):
        end = _end_of_record(lines, position, delimiter) if delimiter == "," else position + 1
        record = _split(lines[position:end], delimiter) if end else None
        if end is None or record is None or (end > position + 1 and width and len(record) != width):
            corrected["lines with a stray quote"] += 1
            end = position + 1
            record = next(csv.reader(lines[position:end], delimiter=delimiter, quoting=csv.QUOTE_NONE), [])
        position = end
        width = width or len(record)
        if record:
            yield record


def _split(lines: list[str], delimiter: str) -> list[str] | None:
    """Return the fields of a record; None if several lines are not one well-formed record (two stray quotes)."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    try:
        return next(csv.reader(["".join(lines)], delimiter=delimiter, quoting=quoting, strict=len(lines) > 1), [])
    except csv.Error:
        return None


def _end_of_record(lines: list[str], start: int, delimiter: str) -> int | None:
    """Return the index of the line after a record; None if its quotes do not close in `MAX_RECORD_LINES` lines."""
    quoted = False
    for position in range(start, min(start + MAX_RECORD_LINES, len(lines))):
        quoted = _still_quoted(lines[position], quoted, delimiter)
        if not quoted:
            return position + 1
    return None


def _still_quoted(line: str, quoted: bool, delimiter: str) -> bool:
    """Return whether a quoted field is open after a line. A quote in an unquoted field is a character (5" nails)."""
    if '"' not in line:
        return quoted
    before = delimiter
    for character in line:
        if character == '"' and (quoted or before == delimiter):
            # A doubled quote closes and reopens the field, so it needs no special case.
            quoted = not quoted
            before = delimiter if not quoted else character
        else:
            before = character
    return quoted


def _json_lines(text: str, corrected: Counter[str]) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            yield record
        else:
            corrected["lines that are not a JSON object, skipped"] += 1
