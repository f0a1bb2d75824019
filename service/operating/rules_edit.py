"""Changes the rules file as a reviewer asks: block or pin a query, or undo that, with a record of who and why.

The file keeps its own format, and the library writes it, so its comments are lost; a file that was written by hand is
kept beside it first (`NAME.VERSION.bak`). The record is `NAME.changes.jsonl`, one JSON object a line, written before
the change takes effect (docs/adr/0080).
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from evidence.whole_texts import WholeTexts
from service.answering.normalize import query_key
from service.answering.rules import read_rules, version_of
from service.errors import RulesError, ServiceError
from service.operating.replaced_file import only_writer, replace_file

logger = logging.getLogger(__name__)

ChangeKind = Literal["block_query", "unblock_query", "pin_query", "unpin_query"]

MAX_EDITED_BYTES = 1024 * 1024
"""A larger rules file is not changed from here: writing it would take too long."""

MAX_BLOCKED_QUERIES = 5000
MAX_PINS = 5000
"""Pairs of a pinned query and a video or a category."""

_MAX_RECORD_READ = 64 * 1024
_MAX_RECORD_BYTES = 16 * 1024 * 1024


class RulesConflict(ServiceError):
    """The change does not fit the present rules. ``version`` is theirs, or None if the file cannot be read."""

    def __init__(self, message: str, version: str | None) -> None:
        super().__init__(message)
        self.version = version


class RulesNotWritable(ServiceError):
    """The rules file cannot be changed; the message says why."""


@dataclass(frozen=True, slots=True)
class RulesChange:
    """One change.

    Attributes:
        kind: what to do.
        query: to block or to pin.
        photo_id: the video to pin it on; None for blocked queries, which are blocked everywhere.
        reason: why.
        who: the name of the API key of the reviewer.
    """

    kind: ChangeKind
    query: str
    photo_id: str | None
    reason: str
    who: str


def why_not_writable(path: Path) -> str | None:
    """Return why the rules file cannot be changed from here; None if it can."""
    if not path.is_file():
        return "the rules file is not there"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return "the folder of the rules file is read-only for the service"
    if path.stat().st_size > MAX_EDITED_BYTES:
        return f"the rules file is over {MAX_EDITED_BYTES} bytes"
    return None


def change_rules(path: Path, expected_version: str, change: RulesChange) -> str:
    """Apply a change to the rules file, and return the new version.

    Args:
        path: of the file.
        expected_version: the version that the reviewer has seen.
        change: what to do.

    Raises:
        RulesConflict: the file has another version, or the change contradicts its rules.
        RulesNotWritable: the file cannot be read as rules, or cannot be written.
    """
    try:
        with only_writer(path):
            return _change(path, expected_version, change)
    except OSError as error:
        raise RulesNotWritable(f"the rules file cannot be written ({error.strerror})") from error


def recorded_changes(path: Path, limit: int) -> list[dict[str, Any]]:
    """Return the latest changes of the record, newest first; of its last 64 KiB."""
    try:
        with _record_of(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MAX_RECORD_READ))
            lines = file.read(_MAX_RECORD_READ).split(b"\n")
    except OSError:
        return []
    if size > _MAX_RECORD_READ:
        del lines[0]  # the rest of a line
    changes: list[dict[str, Any]] = []
    for line in reversed(lines):
        if len(changes) == limit:
            break
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # empty, or cut by a full disk
        if isinstance(entry, dict):
            changes.append(entry)
    return changes


def _change(path: Path, expected_version: str, change: RulesChange) -> str:
    if reason := why_not_writable(path):
        raise RulesNotWritable(reason)
    before = path.read_bytes()
    version = version_of(before)
    if version != expected_version:
        raise RulesConflict("The rules have changed since they were read; read them again, then repeat.", version)
    try:
        read_rules(before, path)
        document = _parse(before)
        _EDITS[change.kind](document, change, version)
        after = _dump(document)
        read_rules(after, path)
    except RulesError as error:
        raise RulesNotWritable(f"the rules file is not valid ({error.problems[0][1:]})") from error
    if len(after) > MAX_EDITED_BYTES:
        raise RulesConflict(f"The rules file would be over {MAX_EDITED_BYTES} bytes; remove rules first.", version)
    if _parse(after) != document:
        raise RulesNotWritable("the changed rules would be read in another way than they were written")
    new_version = version_of(after)
    if before != _dump(_parse(before)):  # written by hand, so there may be comments
        replace_file(path.with_name(f"{path.name}.{version}.bak"), before)
    _record(path, change, version, new_version)
    replace_file(path, after)
    return new_version


def _parse(content: bytes) -> dict[str, Any]:
    """Return valid rules as a document in which no two values are the same object, as by aliases."""
    document: dict[str, Any] = json.loads(json.dumps(yaml.load(content, Loader=yaml.CSafeLoader) or {}))
    return document


def _dump(document: Any) -> bytes:
    content: bytes = yaml.dump(
        document, Dumper=yaml.CSafeDumper, encoding="utf-8", allow_unicode=True, sort_keys=False, width=1000
    )
    return content


def _record(path: Path, change: RulesChange, before: str, after: str) -> None:
    entry = {"time_ms": round(time.time() * 1000), **asdict(change), "version_before": before, "version": after}
    record = _record_of(path)
    if record.exists() and record.stat().st_size > _MAX_RECORD_BYTES:
        raise RulesNotWritable("the record of changes is over 16 MiB; move it away")
    descriptor = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        os.write(descriptor, json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    logger.info("a reviewer changes the rules", extra={"change": entry})


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.changes.jsonl")


def _block(document: dict[str, Any], change: RulesChange, version: str) -> None:
    blocked = document.setdefault("blocked_queries", [])
    if change.query in WholeTexts(blocked):
        raise RulesConflict("This query is blocked already.", version)
    if len(blocked) >= MAX_BLOCKED_QUERIES:
        raise RulesConflict(f"There are {len(blocked)} blocked queries, which is the limit; remove some.", version)
    blocked.append(change.query)


def _unblock(document: dict[str, Any], change: RulesChange, version: str) -> None:
    blocked = document.get("blocked_queries", [])
    kept = [query for query in blocked if query_key(query) != query_key(change.query)]
    if len(kept) == len(blocked):
        raise RulesConflict("This query is not blocked.", version)
    document["blocked_queries"] = kept


def _pin(document: dict[str, Any], change: RulesChange, version: str) -> None:
    if change.query in WholeTexts(document.get("blocked_queries", [])):
        raise RulesConflict("This query is blocked, so it would not be shown; unblock it first.", version)
    pinned = document.setdefault("pinned_queries", [])
    if any(_is_pinned(entry, change) for entry in pinned):
        raise RulesConflict("This query is pinned on this video already.", version)
    pins = sum(len(entry.get("photo_ids", ())) + len(entry.get("categories", ())) for entry in pinned)
    if pins >= MAX_PINS:
        raise RulesConflict(f"There are {pins} pins, which is the limit; remove some.", version)
    same = next((entry for entry in pinned if entry["query"] == change.query), None)
    if same is None:
        pinned.append({"query": change.query, "photo_ids": [change.photo_id]})
    else:
        same.setdefault("photo_ids", []).append(change.photo_id)


def _unpin(document: dict[str, Any], change: RulesChange, version: str) -> None:
    pinned = document.get("pinned_queries", [])
    found = [entry for entry in pinned if _is_pinned(entry, change)]
    if not found:
        raise RulesConflict("This query is not pinned on this video.", version)
    for entry in found:
        entry["photo_ids"] = [photo_id for photo_id in entry["photo_ids"] if photo_id != change.photo_id]
    document["pinned_queries"] = [entry for entry in pinned if entry.get("photo_ids") or entry.get("categories")]


def _is_pinned(entry: dict[str, Any], change: RulesChange) -> bool:
    return query_key(entry["query"]) == query_key(change.query) and change.photo_id in entry.get("photo_ids", ())


_EDITS: dict[ChangeKind, Callable[[dict[str, Any], RulesChange, str], None]] = {
    "block_query": _block,
    "unblock_query": _unblock,
    "pin_query": _pin,
    "unpin_query": _unpin,
}
