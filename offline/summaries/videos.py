"""The rows of the input: what is known of a video before its file is opened, and where its file is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evidence.rows import TEXT_FIELDS
from evidence.schema import RawText
from offline.summaries.errors import InputError, VideoFileError

SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".flv", ".ts", ".3gp"})
"""Endings of the video files that are found by their photo id."""

_STRINGS = ("photo_id", *TEXT_FIELDS, "summary", "speech", "file")


@dataclass(frozen=True, slots=True)
class Video:
    """One row of the input.

    Attributes:
        photo_id: the key of the video.
        text: the platform's text fields, uncleaned.
        summary: a summary that the input already has, "" without one.
        speech: the speech text that the input already has, "" without one.
        file: the value of the column `file`, "" without one.
        created_day: the day of upload, None if the table has no such column.
    """

    photo_id: str
    text: RawText
    summary: str = ""
    speech: str = ""
    file: str = ""
    created_day: int | None = None


def find_table(path: Path) -> Path:
    """Return the table that a VIDEOS argument names: the file itself, or `videos.parquet` of a log dataset.

    Raises:
        InputError: it is neither.
    """
    table = path / "videos.parquet" if path.is_dir() else path
    if not table.is_file():
        raise InputError(f"{table} is missing; give a .parquet or .jsonl file of videos, or a folder of log tables")
    if table.suffix not in (".parquet", ".jsonl"):
        raise InputError(f"{table.name} ends in {table.suffix!r}; give a .parquet or a .jsonl file")
    return table


def read_videos(table: Path) -> list[Video]:
    """Read the rows of a .parquet or .jsonl file.

    The column `photo_id` is required. The columns caption, photo_title, title, item_title, summary, speech, file
    (strings) and created_day (an integer) are read where the table has them; each value may be null.

    Raises:
        InputError: the file cannot be read, a value has another type, or a photo id is missing or repeated.
    """
    rows = _parquet_rows(table) if table.suffix == ".parquet" else _json_rows(table)
    videos, seen = [], set()
    for place, row in rows:
        video = _video(row, f"{table}, {place}")
        if video.photo_id in seen:
            raise InputError(f"{table}, {place}: the photo_id {video.photo_id!r} repeats; keep one row for each video")
        seen.add(video.photo_id)
        videos.append(video)
    if not videos:
        raise InputError(f"{table} has no rows")
    return videos


def _parquet_rows(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with pq.ParquetFile(table) as file:
            names = [name for name in (*_STRINGS, "created_day") if name in file.schema_arrow.names]
            number = 0
            for batch in file.iter_batches(columns=names):
                for row in batch.to_pylist():
                    yield f"row {number}", row
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{table} cannot be read as Parquet: {error}") from error


def _json_rows(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with table.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{table}, line {number} is not JSON ({error}); correct or remove it") from error
            if not isinstance(row, dict):
                raise InputError(f"{table}, line {number} is not a JSON object; write one object a line")
            yield f"line {number}", row


def whole_characters(text: str) -> str:
    """Return a text with each half of a surrogate pair, which JSON can hold and UTF-8 cannot, replaced by `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _video(row: Mapping[str, Any], place: str) -> Video:
    for name in _STRINGS:
        if not isinstance(row.get(name), str | None):
            raise InputError(f"{place}: {name} must be a string or null, not {type(row[name]).__name__}")
    day = row.get("created_day")
    if day is not None and (not isinstance(day, int) or isinstance(day, bool)):
        raise InputError(f"{place}: created_day must be an integer or null, not {type(day).__name__}")
    if not row.get("photo_id"):
        raise InputError(f"{place} has no photo_id; every video needs one")
    strings = {name: whole_characters(row[name]) for name in _STRINGS if row.get(name)}
    return Video(
        photo_id=strings["photo_id"],
        text=RawText(*(strings.get(name) for name in TEXT_FIELDS)),
        summary=strings.get("summary", ""),
        speech=strings.get("speech", ""),
        file=strings.get("file", ""),
        created_day=day,
    )


class VideoFiles:
    """Where the file of a video is: a folder, in which the column `file` or the photo id names a file."""

    def __init__(self, folder: Path | None) -> None:
        """Index a folder.

        Args:
            folder: with the video files; None if there are none.
        """
        self._root = folder.resolve() if folder else None
        self._by_id: dict[str, str] = {}
        if folder:
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
                stem, suffix = os.path.splitext(entry.name)
                if suffix.lower() in SUFFIXES:
                    self._by_id.setdefault(stem, entry.name)

    def find(self, video: Video) -> Path | None:
        """Return the path of a video's file, None if it has none.

        Raises:
            VideoFileError: the column `file` names a file that is missing, or one outside of the folder.
        """
        name = video.file or self._by_id.get(video.photo_id)
        if self._root is None or not name:
            return None
        path = Path(os.path.normpath(self._root / name))
        # The table may hold names of unknown origin: no row may make the job read another file of this machine. Links
        # in the folder are the operator's own.
        if not path.is_relative_to(self._root):
            raise VideoFileError("outside the folder", f"{name} is outside of {self._root}; move the file into it")
        if not path.is_file():
            raise VideoFileError("missing", f"{path} is missing; correct the column `file` or the option --files")
        return path
