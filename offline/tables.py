"""The log tables: one Arrow schema for each, how they are read and written, and what is checked.

A dataset is a folder with one `<table>.parquet` for each table below. The demo world writes them; a platform's own
logs must be brought into the same form (docs/data_formats.md). `day` counts days since the first log day, `ts` is
unix time in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from offline.errors import TableError

SEARCH_SOURCES = ("bar", "post_video", "search_box", "reformulation")
VERDICTS = ("safe", "unsafe")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What one table must look like.

    Attributes:
        schema: columns in order; `nullable=False` columns may hold no null.
        key: columns that together name a row once, empty when rows have no key.
        choices: allowed values of columns with a closed vocabulary.
        minimum: lowest allowed value of numeric columns.
    """

    schema: pa.Schema
    key: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    minimum: Mapping[str, int] = field(default_factory=dict)


def _schema(*columns: tuple[str, pa.DataType] | tuple[str, pa.DataType, bool]) -> pa.Schema:
    """A schema of (name, type) for required columns and (name, type, True) for nullable ones."""
    return pa.schema([pa.field(c[0], c[1], nullable=len(c) == 3) for c in columns])


_TEXT, _DAY, _TS, _FLAG = pa.string(), pa.int32(), pa.int64(), pa.bool_()

TABLES: Mapping[str, TableSpec] = MappingProxyType(
    {
        "videos": TableSpec(
            _schema(
                ("photo_id", _TEXT),
                ("created_day", _DAY),
                ("author_id", _TEXT),
                ("caption", _TEXT, True),
                ("photo_title", _TEXT, True),
                ("title", _TEXT, True),
                ("item_title", _TEXT, True),
                ("summary", _TEXT, True),
                ("category", _TEXT, True),
            ),
            key=("photo_id",),
        ),
        "users": TableSpec(
            _schema(("user_id", _TEXT), ("activity", pa.int32())), key=("user_id",), minimum={"activity": 0}
        ),
        "impressions": TableSpec(
            _schema(("impression_id", _TEXT), ("day", _DAY), ("ts", _TS), ("user_id", _TEXT), ("photo_id", _TEXT)),
            key=("impression_id",),
            minimum={"day": 0},
        ),
        "exposures": TableSpec(
            _schema(
                ("impression_id", _TEXT),
                ("day", _DAY),
                ("position", pa.int32()),
                ("query", _TEXT),
                ("policy", _TEXT),
                ("clicked", _FLAG),
                ("engaged", _FLAG),
                ("order_value", pa.float64()),
            ),
            key=("impression_id", "query"),
            minimum={"day": 0, "position": 0, "order_value": 0},
        ),
        "searches": TableSpec(
            _schema(
                ("search_id", _TEXT),
                ("day", _DAY),
                ("ts", _TS),
                ("user_id", _TEXT),
                ("query", _TEXT),
                ("source", _TEXT),
                ("photo_id", _TEXT, True),
                ("previous_query", _TEXT, True),
                ("item_clicks", pa.int32()),
                ("order_value", pa.float64()),
            ),
            key=("search_id",),
            choices={"source": SEARCH_SOURCES},
            minimum={"day": 0, "item_clicks": 0, "order_value": 0},
        ),
        "search_clicks": TableSpec(
            _schema(("search_id", _TEXT), ("day", _DAY), ("query", _TEXT), ("photo_id", _TEXT)), minimum={"day": 0}
        ),
        "reviews": TableSpec(
            _schema(("photo_id", _TEXT), ("day", _DAY), ("verdict", _TEXT), ("policy_category", _TEXT, True)),
            key=("photo_id",),
            choices={"verdict": VERDICTS},
        ),
    }
)


def table_path(dataset: Path | str, name: str) -> Path:
    """The file of table `name` inside a dataset folder.

    Raises:
        TableError: no table has that name.
    """
    if name not in TABLES:
        raise TableError(f"no table is called {name!r}; the tables are {', '.join(TABLES)}")
    return Path(dataset) / f"{name}.parquet"


def write_table(dataset: Path | str, name: str, columns: Mapping[str, Any] | pa.Table) -> Path:
    """Validates and writes one table; the same rows always give the same bytes.

    Args:
        dataset: folder, made when missing.
        name: one of `TABLES`.
        columns: an Arrow table, or column name to a sequence or Arrow array (dictionary-encoded strings are welcome).

    Returns:
        The path that was written.

    Raises:
        TableError: the rows do not follow the schema.
    """
    path = table_path(dataset, name)
    schema = TABLES[name].schema
    if not isinstance(columns, pa.Table):
        missing = [column for column in schema.names if column not in columns]
        if missing:
            raise TableError(f"{path.name}: no column {', '.join(map(repr, missing))}; add it, or fill it with null")
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
    """Reads one table, its columns in the order of the schema and of exactly its types.

    Args:
        dataset: folder that holds the Parquet files.
        name: one of `TABLES`.
        columns: only these columns; all when None. Keys and values are checked only on a whole table.
        check: False skips the checks of keys and values (types are always checked).

    Raises:
        TableError: the file is missing or unreadable, or its rows do not follow the schema.
    """
    path = table_path(dataset, name)
    if not path.is_file():
        raise TableError(
            f"{path} is missing; write it as docs/data_formats.md says, or make a demo world: onebar world OUT"
        )
    try:
        table = pq.read_table(path, columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path} cannot be read as Parquet: {error}") from error
    table = conform(table, name, where=str(path), columns=columns)
    if check and columns is None:
        validate(table, name, where=str(path))
    return table


def conform(table: pa.Table, name: str, *, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Casts `table` to the schema of `name`; unknown columns are dropped, safe widenings are made.

    Raises:
        TableError: a column is missing, cannot be cast without loss, or has nulls where none may be.
    """
    schema = TABLES[name].schema
    fields = [schema.field(c) for c in (schema.names if columns is None else columns)]
    arrays = []
    for wanted in fields:
        if wanted.name not in table.column_names:
            has = ", ".join(table.column_names)
            raise TableError(f"{where}: no column {wanted.name!r} ({wanted.type}); it has {has}")
        column = table.column(wanted.name)
        if column.type != wanted.type:
            try:
                column = column.cast(wanted.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise TableError(
                    f"{where}: column {wanted.name!r} is {column.type} and cannot become {wanted.type}: {error}"
                ) from error
        if not wanted.nullable and column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()
            raise TableError(
                f"{where}: column {wanted.name!r} may hold no null, but {column.null_count} rows do (first: row {row})"
            )
        arrays.append(column)
    return pa.table(arrays, schema=pa.schema(fields))


def validate(table: pa.Table, name: str, *, where: str) -> None:
    """Checks the values of a table that already has the right types.

    Raises:
        TableError: a closed column holds another value, a number is too low, or a key repeats.
    """
    spec = TABLES[name]
    for column, allowed in spec.choices.items():
        odd = pc.invert(pc.is_in(table[column], value_set=pa.array(allowed)))
        if pc.any(odd).as_py():
            row = pc.index(odd, True).as_py()
            value = table[column][row].as_py()
            raise TableError(f"{where}: row {row} has {column} {value!r}; allowed are {', '.join(allowed)}")
    for column, lowest in spec.minimum.items():
        low = pc.less(table[column], lowest)
        if pc.any(low).as_py():
            row = pc.index(low, True).as_py()
            value = table[column][row].as_py()
            raise TableError(f"{where}: row {row} has {column} {value}; it cannot be under {lowest}")
    if spec.key and table.num_rows:
        distinct = table.group_by(list(spec.key)).aggregate([([], "count_all")]).num_rows
        if distinct != table.num_rows:
            repeats = table.num_rows - distinct
            raise TableError(f"{where}: {' + '.join(spec.key)} must name one row, but {repeats} rows repeat one")
