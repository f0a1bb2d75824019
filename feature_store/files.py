"""Rows from files: Parquet, JSON Lines and gzipped JSON Lines, distinguished by their first bytes."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from feature_store.errors import LoadError
from feature_store.rows import PHOTO_COLUMNS, USER_COLUMNS, Kind

_PARQUET_MAGIC: Final = b"PAR1"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_SUFFIXES: Final = (".parquet", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_PEEKED_LINES: Final = 100
_BATCH_ROWS: Final = 1000
_READ_BYTES: Final = 64 * 1024  # of each column at a time


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no JSON object."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows in the file's order.

    Attributes:
        rows: with the number of each (a line of a text file, a row of a Parquet file; from 1).
        position: how far into the file this batch reaches, in the units of `Source.size`.
    """

    rows: list[tuple[int, dict[str, Any] | BadLine]]
    position: int


class Source:
    """One file, its kind, and its rows.

    Attributes:
        path: the file.
        kind: what its rows are.
        size: of the whole file: rows of a Parquet file, bytes of a text file (compressed ones, where it is).
    """

    def __init__(self, path: Path, kind: Kind | None) -> None:
        """Look into a file.

        Raises:
            LoadError: it is missing, empty, of no known form, corrupt, or has not the columns it needs.
        """
        self.path = path
        try:
            with path.open("rb") as file:
                start = file.read(4)
        except OSError as error:
            raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error
        if not start:
            raise LoadError(f"{path} is empty")
        self._is_parquet = start == _PARQUET_MAGIC
        self._is_gzip = start.startswith(_GZIP_MAGIC)
        if self._is_parquet:
            columns, self.size = self._parquet_columns()
        else:
            columns, self.size = self._first_columns(), path.stat().st_size
        self.kind: Kind = kind or _kind_of(path, columns)
        _require_columns(path, self.kind, columns)

    def batches(self) -> Iterator[Batch]:
        """Yield all rows.

        Raises:
            LoadError: the file is corrupt further on.
        """
        return self._parquet_batches() if self._is_parquet else self._line_batches()

    def _open_parquet(self) -> Any:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise LoadError(
                f"{self.path} is Parquet, and pyarrow is not installed: install the extra 'offline', or use JSON Lines"
            ) from None
        try:
            # Without these two the whole of a row group, which may be the whole file, is read before its first row.
            return parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=_READ_BYTES)
        except (pyarrow.ArrowException, OSError) as error:
            raise LoadError(
                f"{self.path} is corrupt or not all there ({_first_line(error)}): write it again"
            ) from error

    def _parquet_columns(self) -> tuple[set[str], int]:
        with self._open_parquet() as file:
            return set(file.schema_arrow.names), file.metadata.num_rows

    def _parquet_batches(self) -> Iterator[Batch]:
        known = set(PHOTO_COLUMNS if self.kind == "photos" else USER_COLUMNS)
        number = 0
        with self._open_parquet() as file:
            wanted = [name for name in file.schema_arrow.names if name in known]
            batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted)
            while True:
                try:
                    batch = next(batches, None)
                    rows = None if batch is None else batch.to_pylist()
                except (OSError, ValueError) as error:  # pyarrow's errors are among these
                    raise LoadError(
                        f"{self.path} is corrupt after row {number} ({_first_line(error)}): write it again"
                    ) from error
                if rows is None:
                    return
                yield Batch(list(enumerate(rows, start=number + 1)), number + len(rows))
                number += len(rows)

    def _lines(self) -> Generator[tuple[int, bytes, int], None, None]:
        """Yield the number of each line that is not blank, the line, and the bytes of the file read so far."""
        with self.path.open("rb") as file:
            stream: IO[bytes] = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if self._is_gzip else file
            number, position = 0, 0
            try:
                for number, line in enumerate(stream, start=1):
                    position += len(line)
                    if number == 1:
                        line = line.removeprefix(_BOM)
                    if not line.isspace():
                        yield number, line, file.tell() if self._is_gzip else position
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise LoadError(
                    f"{self.path} is corrupt or cut off after line {number} ({error}): write it again"
                ) from error

    def _first_columns(self) -> set[str]:
        with closing(self._lines()) as lines:
            for tried, (_, line, _) in enumerate(lines):
                row = parse_line(line)
                if isinstance(row, dict):
                    return set(row)
                if tried == 0 and line.lstrip().startswith(b"["):
                    raise LoadError(f"{self.path} is one JSON document: write one object a line (jq -c '.[]' does it)")
                if tried == _PEEKED_LINES:
                    break
        raise LoadError(f"{self.path} is neither Parquet nor JSON Lines (one JSON object a line, gzipped or not)")

    def _line_batches(self) -> Iterator[Batch]:
        rows: list[tuple[int, dict[str, Any] | BadLine]] = []
        position = 0
        for number, line, position in self._lines():
            rows.append((number, parse_line(line)))
            if len(rows) == _BATCH_ROWS:
                yield Batch(rows, position)
                rows = []
        if rows:
            yield Batch(rows, position)


def parse_line(line: bytes) -> dict[str, Any] | BadLine:
    """Return the object that a line holds, or why it holds none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadLine(f"not JSON ({type(error).__name__})", line.decode("utf-8", "replace").rstrip("\r\n"))
    if not isinstance(row, dict):
        return BadLine("not a JSON object", line.decode("utf-8", "replace").rstrip("\r\n"))
    return row


def find_files(path: Path) -> list[Path]:
    """Return the file itself, or the files of evidence in a folder (as Spark writes them), in order of name.

    Raises:
        LoadError: there is nothing.
    """
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.name.endswith(_SUFFIXES) and file.is_file())
    if not found:
        raise LoadError(f"the folder {path} has no file that ends in {', '.join(_SUFFIXES)}")
    return found


def _kind_of(path: Path, columns: set[str]) -> Kind:
    photos, users = "photo_id" in columns, "user_id" in columns
    if photos and users:
        raise LoadError(f"{path} has both photo_id and user_id: say which it is with --kind photos or --kind users")
    if photos or users:
        return "photos" if photos else "users"
    raise LoadError(f"{path} has neither photo_id nor user_id; its columns are {_list(columns)}")


def _require_columns(path: Path, kind: Kind, columns: set[str]) -> None:
    if kind == "photos":
        missing = [] if "photo_id" in columns else ["photo_id"]
        if not missing and not columns & (set(PHOTO_COLUMNS) - {"photo_id", "embedding_version", "updated_at"}):
            raise LoadError(f"{path} has nothing to load beside photo_id; known columns are {_list(PHOTO_COLUMNS)}")
    else:
        missing = [name for name in ("user_id", "queries") if name not in columns]
    if missing:
        raise LoadError(f"{path} lacks the column {missing[0]}; its columns are {_list(columns)}")


def _list(columns: set[str] | tuple[str, ...]) -> str:
    names = sorted(columns) if isinstance(columns, set) else list(columns)
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
