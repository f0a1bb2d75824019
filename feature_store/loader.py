"""Loads files of evidence into a store; bad rows are counted and written to a file of their own."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from feature_store.errors import LoadError, RowError
from feature_store.files import BadLine, Source, find_files
from feature_store.pseudonym import KeyRing
from feature_store.rows import PHOTO_COLUMNS, USER_COLUMNS, Kind, RowOptions, key_of_row, photo_write, user_write
from feature_store.vectors import VectorType
from feature_store.writes import HashWrite, Writer

Progress = Callable[[Source, int], None]
"""Called after each batch with the source and how far into it the load is (see `files.Batch.position`)."""


@dataclass(slots=True)
class LoadReport:
    """What became of the rows.

    Attributes:
        kinds: Rows by kind.
        rows: All rows that were read.
        written: Rows that were written.
        reasons: Why the other rows were not written, and how often.
        ignored_columns: Columns that no row can have; a misspelt name shows here.
        seconds: Duration of the load.
    """

    kinds: dict[Kind, int] = field(default_factory=dict)
    rows: int = 0
    written: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    ignored_columns: set[str] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def bad(self) -> int:
        """Rows that were not written."""
        return self.rows - self.written


class BadRows:
    """A JSON Lines file of rows that could not be written; made when the first one comes.

    Each line is `{"file", "row_number", "reason", "row"}`; bytes in a row become base64.
    """

    def __init__(self, path: Path) -> None:
        """Take the path; nothing is made yet."""
        self.path = path
        self._file: IO[str] | None = None

    def add(self, source: Path, number: int, reason: str, row: object) -> None:
        """Write one row. Raises LoadError when the file cannot be made."""
        if self._file is None:
            try:
                self._file = self.path.open("w", encoding="utf-8")
            except OSError as error:
                raise LoadError(
                    f"bad rows cannot be put aside in {self.path} ({error.strerror}): name another --errors-file"
                ) from error
        entry = {"file": source.name, "row_number": number, "reason": reason, "row": row}
        self._file.write(json.dumps(entry, default=_as_json) + "\n")

    def close(self) -> None:
        """Close the file, if one was made."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_json(value: object) -> str:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else repr(value)


def open_sources(path: Path, kind: Kind | None = None) -> list[Source]:
    """Look into a file, or into all files of a folder; nothing is loaded yet.

    Args:
        path: Parquet, JSON Lines or gzipped JSON Lines; or a folder of them.
        kind: what the rows are; found from their columns when None.

    Raises:
        LoadError: one of them cannot be loaded.
    """
    return [Source(file, kind) for file in find_files(path)]


def load_path(
    path: Path, writer: Writer | None, kind: Kind | None = None, key_ring: KeyRing | None = None
) -> LoadReport:
    """Load a file or a folder: `open_sources`, then `load`."""
    return load(open_sources(path, kind), writer, key_ring=key_ring)


def load(
    sources: Sequence[Source],
    writer: Writer | None,
    *,
    vector_type: VectorType = "fp16",
    key_ring: KeyRing | None = None,
    bad_rows: BadRows | None = None,
    progress: Progress | None = None,
) -> LoadReport:
    """Load files.

    Args:
        sources: of `open_sources`.
        writer: where to; None only checks the rows. Stays open.
        vector_type: in which embeddings are stored.
        key_ring: makes pseudonyms of user ids; ids that are pseudonyms already are brought under the newest key. None
            stores ids as they are.
        bad_rows: where bad rows are put aside; they are only counted when None. Stays open.
        progress: called after each batch.

    Raises:
        LoadError: a file cannot be read; what was written before stays written.
        StoreUnavailable: the store was lost on the way; loading again is safe.
    """
    report = LoadReport()
    start = time.perf_counter()
    for source in sources:
        options = RowOptions(time.time_ns() // 1_000_000, vector_type, key_ring)
        _load_source(source, writer, options, bad_rows, progress, report)
    report.seconds = time.perf_counter() - start
    return report


def _load_source(
    source: Source,
    writer: Writer | None,
    options: RowOptions,
    bad_rows: BadRows | None,
    progress: Progress | None,
    report: LoadReport,
) -> None:
    for batch in encoded_batches(source, options, bad_rows, report):
        if writer is not None and batch.writes:
            writer.write(batch.writes)
        report.written += len(batch.writes)
        if progress is not None:
            progress(source, batch.position)


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Rows of a file as writes.

    Attributes:
        writes: Of the good rows, in the file's order.
        bad_keys: Keys of bad rows, as far as their ids can be read.
        rows: How many rows there were, good and bad.
        position: How far into the file this batch reaches (`files.Batch.position`).
    """

    writes: list[HashWrite]
    bad_keys: list[str]
    rows: int
    position: int


def encoded_batches(
    source: Source, options: RowOptions, bad_rows: BadRows | None, report: LoadReport
) -> Iterator[EncodedBatch]:
    """Yield a file's rows as writes, and count them in the report; `LoadReport.written` is left to the caller.

    Raises:
        LoadError: the file cannot be read further, or bad rows cannot be put aside.
    """
    to_write = photo_write if source.kind == "photos" else user_write
    known = frozenset(PHOTO_COLUMNS if source.kind == "photos" else USER_COLUMNS)
    for batch in source.batches():
        writes: list[HashWrite] = []
        bad_keys: list[str] = []
        for number, row in batch.rows:
            try:
                if isinstance(row, BadLine):
                    raise RowError(row.reason)
                if not known.issuperset(row):
                    report.ignored_columns.update(row.keys() - known)
                writes.append(to_write(row, options))
            except RowError as error:
                report.reasons[str(error)] += 1
                if not isinstance(row, BadLine) and (key := key_of_row(row, source.kind, options)):
                    bad_keys.append(key)
                if bad_rows is not None:
                    content: Any = row.text if isinstance(row, BadLine) else row
                    bad_rows.add(source.path, number, str(error), content)
        report.rows += len(batch.rows)
        report.kinds[source.kind] = report.kinds.get(source.kind, 0) + len(batch.rows)
        yield EncodedBatch(writes, bad_keys, len(batch.rows), batch.position)
