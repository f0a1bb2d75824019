"""Reading and writing the log tables. Every table is validated when it is written and when it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offline.errors import TableError
from offline.logs.schema import TABLES
from offline.logs.validation import conform, validate


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
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", row_group_size=1 << 18)
    return path


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
