"""Strict checks of one table in memory: types first, then values and keys. The first fault is an error.

Tables that this project writes are checked so. The logs of a platform go through `offline.logs.intake`, which sets
single bad rows aside.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from offline.errors import TableError
from offline.logs.schema import TABLES


def conform(table: pa.Table, name: str, *, where: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Cast a table to the schema of `name`. Unknown columns are dropped, casts without loss are made.

    Args:
        table: the rows.
        name: one of `TABLES`.
        where: the file name for messages.
        columns: only these columns; all when None.

    Raises:
        TableError: a column is missing, cannot be cast without loss, or holds a null that its schema forbids.
    """
    schema = TABLES[name].schema
    fields = [schema.field(c) for c in (schema.names if columns is None else columns)]
    arrays = []
    for wanted in fields:
        if wanted.name not in table.column_names:
            has = ", ".join(table.column_names)
            raise TableError(f"{where} has no column {wanted.name!r} ({wanted.type}); its columns are {has}")
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
                f"{where}: column {wanted.name!r} must not hold nulls, but {column.null_count} rows do "
                f"(first: row {row})"
            )
        arrays.append(column)
    return pa.table(arrays, schema=pa.schema(fields))


def validate(table: pa.Table, name: str, *, where: str) -> None:
    """Check the values of a table that already has the right types.

    Raises:
        TableError: a column holds a value that is not allowed, a number is out of its range, or a key repeats.
    """
    spec = TABLES[name]
    for column, allowed in spec.choices.items():
        odd = pc.invert(pc.is_in(table[column], value_set=pa.array(allowed)))
        if pc.any(odd).as_py():
            row = pc.index(odd, True).as_py()
            value = table[column][row].as_py()
            raise TableError(f"{where}: row {row} has {column} {value!r}; allowed are {', '.join(allowed)}")
    for column, (lowest, highest) in spec.ranges.items():
        # A comparison with NaN is false.
        odd = pc.invert(pc.and_(pc.greater_equal(table[column], lowest), pc.less_equal(table[column], highest)))
        if pc.any(odd).as_py():
            row = pc.index(odd, True).as_py()
            value = table[column][row].as_py()
            raise TableError(f"{where}: row {row} has {column} {value}; allowed are {lowest} to {highest}")
    if spec.key and table.num_rows:
        distinct = table.group_by(list(spec.key)).aggregate([([], "count_all")]).num_rows
        if distinct != table.num_rows:
            repeats = table.num_rows - distinct
            raise TableError(
                f"{where}: {' + '.join(spec.key)} must be unique, but {repeats} rows repeat an earlier one"
            )
