"""What can be wrong with a row of a log table, as Ibis expressions: each row gets its first fault as a string.

A fault is written `column: kind`, such as `photo_id: unknown`. A stored value is cast without loss or not at all, so
that both engines read the same value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pyarrow as pa

from offline.errors import TableError
from offline.logs.schema import MAX_ID_CHARACTERS, MAX_TEXT_CHARACTERS, MILLISECONDS_PER_DAY, TABLES

WRONG_TYPE, NULL, NOT_ALLOWED, ABSURD = "wrong type", "null", "value not allowed", "absurd value"
FUTURE, MISFIT, UNKNOWN, DUPLICATE = "in the future", "does not fit", "unknown", "duplicate"

FIXES: Mapping[str, str] = {
    WRONG_TYPE: "write the column with the type of docs/data_formats.md",
    NULL: "fill the column, or leave the row out",
    NOT_ALLOWED: "write one of the values of docs/data_formats.md",
    ABSURD: "check the unit (ts is in milliseconds) and look for empty or overlong values",
    FUTURE: "check the clock and the time zone of the export",
    MISFIT: "derive day from ts in the same way in every table",
    UNKNOWN: "export the same days of all tables, and add the missing ids to videos or users (texts may be null)",
    DUPLICATE: "export each key once",
}
"""How to correct each kind of fault at its source."""

FAULT = "fault"
"""The column of the first fault, null in a sound row."""

# \z is the end of the string; in Java, and so in Spark, $ is also the place before a line end.
_WHOLE = r"^[+-]?[0-9]+\z"
_DECIMAL = r"^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\z"


@dataclass(frozen=True, slots=True)
class Clock:
    """How `day` and `ts` belong together.

    Attributes:
        day_zero: the days from 1970 to log day 0, UTC. A platform may end its days at another hour, so a row may differ
            by one day.
        now_ms: events after this time are in the future.
    """

    day_zero: int
    now_ms: int

    @property
    def last_day(self) -> int:
        """The last log day that may have begun by now."""
        return self.now_ms // MILLISECONDS_PER_DAY - self.day_zero + 1


def stored_name(column: str) -> str:
    """Return the name of the column that holds a value as it was stored, beside the one that was cast."""
    return f"stored {column}"


def cast_columns(stored: ir.Table, name: str, where: str) -> ir.Table:
    """Return the columns of the schema, cast, and the stored ones beside those that have another type.

    A value that cannot be cast without loss becomes null.

    Args:
        stored: the table as it was read.
        name: one of `TABLES`.
        where: the table for messages.

    Raises:
        TableError: a column is missing, or has a type that cannot be cast.
    """
    columns: dict[str, ir.Value] = {}
    for field in TABLES[name].schema:
        if field.name not in stored.columns:
            has = ", ".join(stored.columns)
            raise TableError(f"{where} has no column {field.name!r} ({field.type}); its columns are {has}")
        value = stored[field.name]
        cast = _cast(value, dt.DataType.from_pyarrow(field.type))
        if cast is None:
            raise TableError(
                f"{where}: column {field.name!r} is {value.type()} and cannot become {field.type}; write it as "
                f"{field.type} (docs/data_formats.md)"
            )
        columns[field.name] = cast
        if cast is not value:
            columns[stored_name(field.name)] = value
    return stored.select(**columns)


def _cast(value: ir.Value, wanted: dt.DataType) -> ir.Value | None:
    """Return the value with the wanted type, null where that would lose something, None if the types exclude it."""
    stored = value.type()
    nothing = ibis.null(wanted)
    if stored.copy(nullable=True) == wanted.copy(nullable=True):
        return value
    if stored.is_null():
        return value.cast(wanted)
    if wanted.is_string():
        # Spark reads an unsigned 64-bit integer as a decimal with 20 digits.
        whole_decimal = stored.is_decimal() and stored.scale == 0
        return value.cast(wanted) if stored.is_integer() or whole_decimal else None
    if wanted.is_integer():
        if stored.is_integer():
            return value.try_cast(wanted)
        if stored.is_floating() or stored.is_decimal():
            whole = value.try_cast(wanted)
            return ibis.ifelse(whole.cast(stored) == value, whole, nothing)
        if stored.is_string():
            return ibis.ifelse(value.re_search(_WHOLE), value.try_cast(wanted), nothing)
    if wanted.is_floating():
        if stored.is_numeric():
            return value.cast(wanted)
        if stored.is_string():
            return ibis.ifelse(value.re_search(_DECIMAL), value.try_cast(wanted), nothing)
    if wanted.is_boolean():
        if stored.is_integer():
            return ibis.ifelse(value.isin([0, 1]), value == 1, nothing)
        if stored.is_string():
            return ibis.ifelse(value.lower().isin(["true", "false"]), value.lower() == "true", nothing)
    return None


def day_zero(impressions: ir.Table) -> ir.Table:
    """Return one row with the most frequent `ts // day - day` of cast impressions, none if there are none."""
    lowest, highest = TABLES["impressions"].ranges["ts"]
    offsets = impressions.filter(impressions.ts.between(lowest, highest), impressions.day.notnull())
    offsets = offsets.select(zero=(offsets.ts // MILLISECONDS_PER_DAY - offsets.day).cast("int64"))
    counted = offsets.group_by("zero").agg(rows=offsets.count())
    return counted.order_by(ibis.desc("rows"), ibis.asc("zero")).limit(1)


def mark_faults(rows: ir.Table, name: str, clock: Clock, known: Mapping[str, ir.Table]) -> ir.Table:
    """Add the column `FAULT` to cast rows. Duplicates are not looked for.

    Args:
        rows: what `cast_columns` returned.
        name: one of `TABLES`.
        clock: how days and times belong together.
        known: by table, the keys of its accepted rows, with their day where the table has one.
    """
    spec, columns = TABLES[name], rows.columns
    for column, table in spec.references.items():
        rows = _look_up(rows, column, known[table])
    branches: list[tuple[ir.Value, str]] = []
    for field in spec.schema:
        value = rows[field.name]
        if stored_name(field.name) in rows.columns:
            stored = rows[stored_name(field.name)]
            branches.append((value.isnull() & stored.notnull(), f"{field.name}: {WRONG_TYPE}"))
        if not field.nullable:
            branches.append((_is_null(value), f"{field.name}: {NULL}"))
    for column, allowed in spec.choices.items():
        branches.append((~rows[column].isin(allowed), f"{column}: {NOT_ALLOWED}"))
    absurd = [(_is_absurd(rows, name, field), f"{field.name}: {ABSURD}") for field in spec.schema]
    branches.extend((test, fault) for test, fault in absurd if test is not None)
    branches.extend(_time_faults(rows, clock))
    for column, table in spec.references.items():
        branches.extend(_reference_faults(rows, column, "day" in known[table].columns))
    fault = ibis.cases(*branches, else_=ibis.null("string"))
    return rows.mutate(**{FAULT: fault}).select(*columns, FAULT)


def _is_null(value: ir.Value) -> ir.Value:
    # Ibis counts NaN as null on Spark.
    return value.isnull() & ~value.isnan().fill_null(False) if value.type().is_floating() else value.isnull()


def _is_absurd(rows: ir.Table, name: str, field: pa.Field) -> ir.Value | None:
    value, ranges = rows[field.name], TABLES[name].ranges
    if field.name in ranges:
        lowest, highest = ranges[field.name]
        inside = value.between(lowest, highest)
        return ~inside | value.isnan() if value.type().is_floating() else ~inside
    if not value.type().is_string():
        return None
    if field.name.endswith("_id"):
        return ~value.length().between(1, MAX_ID_CHARACTERS)
    return value.length() > MAX_TEXT_CHARACTERS


def _time_faults(rows: ir.Table, clock: Clock) -> list[tuple[ir.Value, str]]:
    faults: list[tuple[ir.Value, str]] = []
    if "ts" in rows.columns:
        faults.append((rows.ts > clock.now_ms, f"ts: {FUTURE}"))
    days = [column for column in ("day", "created_day") if column in rows.columns]
    faults.extend((rows[column] > clock.last_day, f"{column}: {FUTURE}") for column in days)
    if "ts" in rows.columns:
        offset = (rows.ts // MILLISECONDS_PER_DAY - rows.day).cast("int64") - clock.day_zero
        faults.append((offset.abs() > 1, f"day: {MISFIT}"))
    return faults


def _look_up(rows: ir.Table, column: str, keys: ir.Table) -> ir.Table:
    """Join the row that a column names; the new columns are null where there is none."""
    day = {_day_of(column): keys.day} if "day" in keys.columns else {}
    keys = keys.select(**{_found(column): keys[keys.columns[0]]}, **day)
    return rows.left_join(keys, rows[column] == keys[_found(column)]).select(rows, keys)


def _reference_faults(rows: ir.Table, column: str, has_day: bool) -> list[tuple[ir.Value, str]]:
    faults = [(rows[column].notnull() & rows[_found(column)].isnull(), f"{column}: {UNKNOWN}")]
    if has_day and "day" in rows.columns:
        faults.append(((rows.day - rows[_day_of(column)]).abs() > 1, f"day: {MISFIT}"))
    return faults


def _found(column: str) -> str:
    return f"found {column}"


def _day_of(column: str) -> str:
    return f"day of {column}"


def split_duplicates(sound: ir.Table, repeated: ir.Table, name: str) -> tuple[ir.Table, ir.Table]:
    """Return (rows with one row for each key, rows that repeat the key of another one).

    The row that stays is the earliest one, then the lowest one by its columns, so that the order in which an engine
    reads the rows does not matter.

    Args:
        sound: rows without another fault.
        repeated: the keys that occur more than once.
        name: one of `TABLES`.
    """
    spec = TABLES[name]
    columns = sorted(spec.schema.names, key=lambda column: column != "ts")
    order = [ibis.asc(column, nulls_first=True) for column in columns if column not in spec.key]
    several = sound.semi_join(repeated, list(spec.key))
    ranked = several.mutate(place=ibis.row_number().over(group_by=list(spec.key), order_by=order))
    kept = ranked.filter(ranked.place == 0).drop("place")
    extra = ranked.filter(ranked.place > 0).drop("place")
    return sound.anti_join(repeated, list(spec.key)).union(kept), extra


def repeated_keys(sound: ir.Table, name: str) -> ir.Table:
    """Return the keys that more than one row has."""
    key = list(TABLES[name].key)
    counted = sound.group_by(key).agg(rows=sound.count())
    return counted.filter(counted.rows > 1).select(*key)
