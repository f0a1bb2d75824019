"""Reading and writing the log tables. Every table is validated when it is written and when it is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offline.errors import TableError
from offline.logs.schema import TABLES
from offline.logs.validation import conform, validate

_COMPRESSION = "zstd"
_ROWS_A_GROUP = 1 << 18


def table_path(dataset: Path | str, name: str) -> Path:
    """Return the path of table `name` in a dataset folder.

    Raises:
        TableError: no table has that name.
    """
    if name not in TABLES:
        raise TableError(f"no table is called {name!r}; the tables are {', '.join(TABLES)}")
    return Path(dataset) / f"{name}.parquet"


def write_table(dataset: Path | str, name: str, columns: Mapping[str, Any] | pa.Table) -> Path:
    """Validate and write one table. The same rows always give the same bytes.

    Args:
        dataset: the folder; it is created when it is missing.
        name: one of `TABLES`.
        columns: an Arrow table, or a mapping from column name to a sequence or an Arrow array.

    Returns:
        The path of the file.

    Raises:
        TableError: the rows do not follow the schema.
    """
    path = table_path(dataset, name)
    table = _checked(columns, name, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression=_COMPRESSION, row_group_size=_ROWS_A_GROUP)
    return path


class TableWriter:
    """Writes one table in parts, so that its rows need not be in memory together.

    The file has the bytes that `write_table` gives for all rows at once, however they are divided. It is in place when
    the writer is closed.
    """

    def __init__(self, dataset: Path | str, name: str) -> None:
        """Start a file in a folder, which is created when it is missing.

        Args:
            dataset: the folder.
            name: one of `TABLES`.
        """
        self._name, self._path = name, table_path(dataset, name)
        self._hidden = self._path.with_name(f".{self._path.name}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = pq.ParquetWriter(self._hidden, TABLES[name].schema, compression=_COMPRESSION)
        self._waiting: pa.Table = TABLES[name].schema.empty_table()
        self.rows = 0

    def append(self, columns: Mapping[str, Any] | pa.Table) -> None:
        """Validate rows and add them; the arguments are those of `write_table`.

        Keys are compared within the rows of one call only.

        Raises:
            TableError: the rows do not follow the schema.
        """
        table = _checked(columns, self._name, self._path)
        self.rows += table.num_rows
        waiting = pa.concat_tables([self._waiting, table]).combine_chunks()
        whole = waiting.num_rows - waiting.num_rows % _ROWS_A_GROUP
        if whole:
            self._file.write_table(waiting.slice(0, whole), row_group_size=_ROWS_A_GROUP)
        self._waiting = waiting.slice(whole).combine_chunks()

    def close(self) -> None:
        """Write what waits for a full group, and put the file in place."""
        if self._waiting.num_rows or not self.rows:
            self._file.write_table(self._waiting, row_group_size=_ROWS_A_GROUP)
        self._file.close()
        os.replace(self._hidden, self._path)


def _checked(columns: Mapping[str, Any] | pa.Table, name: str, path: Path) -> pa.Table:
    """Return rows with the columns and types of the schema.

    Raises:
        TableError: the rows do not follow the schema.
    """
    schema = TABLES[name].schema
    if not isinstance(columns, pa.Table):
        missing = [column for column in schema.names if column not in columns]
        if missing:
            raise TableError(
                f"{path.name} has no column {', '.join(map(repr, missing))}; docs/data_formats.md lists all"
            )
        arrays = [columns[column] for column in schema.names]
        columns = pa.table(
            [a if isinstance(a, pa.Array | pa.ChunkedArray) else pa.array(a) for a in arrays], names=schema.names
        )
    table = conform(columns, name, where=path.name)
    validate(table, name, where=path.name)
    return table


def read_table(dataset: Path | str, name: str, columns: Sequence[str] | None = None, *, check: bool = True) -> pa.Table:
    """Read one table; its columns have the order and the types of the schema.

    Args:
        dataset: the folder that holds the Parquet files.
        name: one of `TABLES`.
        columns: only these columns; all when None. Keys and values are checked only when all are read.
        check: False skips the checks of keys and values; types are always checked.

    Raises:
        TableError: the file is missing or unreadable, or its rows do not follow the schema.
    """
    path = table_path(dataset, name)
    if not path.is_file():
        raise TableError(
            f"{path} is missing; write it as docs/data_formats.md says, or simulate logs: onebar world {path.parent}"
        )
    try:
        table = pq.read_table(path, columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} cannot be read as Parquet: {error}") from error
    table = conform(table, name, where=str(path), columns=columns)
    if check and columns is None:
        validate(table, name, where=str(path))
    return table
