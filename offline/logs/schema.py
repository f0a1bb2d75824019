"""The schema of the log tables: columns, keys, references, allowed values.

The demo world writes these tables; the logs of a platform must be brought into the same form (docs/data_formats.md).
`day` counts days since the first log day, `ts` is unix time in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pyarrow as pa

SEARCH_SOURCES = ("bar", "post_video", "search_box", "reformulation")
VERDICTS = ("safe", "unsafe")

MILLISECONDS_PER_DAY = 86_400_000

MAX_ID_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 100_000
"""Longer values are faults of the export: cleaning reads 1,024 characters of a text and 256 of a query."""

_CENTURY = 36_500
_YEAR_2000_MS = 946_684_800_000


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The form of one table.

    Attributes:
        schema: the columns in order; a column with `nullable=False` must not hold a null.
        key: columns that identify a row together; empty when rows have no key.
        references: by column, the table whose key it names. A row that has the `day` of its own and of such a table
            has the same in both.
        choices: the allowed values of columns with a closed vocabulary.
        ranges: the lowest and the highest allowed value of numeric columns.
    """

    schema: pa.Schema
    key: tuple[str, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def _schema(*columns: tuple[str, pa.DataType] | tuple[str, pa.DataType, bool]) -> pa.Schema:
    """Build a schema from (name, type) for required columns and (name, type, True) for nullable ones."""
    return pa.schema([pa.field(c[0], c[1], nullable=len(c) == 3) for c in columns])


_TEXT, _DAY, _TS, _FLAG = pa.string(), pa.int32(), pa.int64(), pa.bool_()
_DAYS = {"day": (0, _CENTURY)}
_TIMES = {**_DAYS, "ts": (_YEAR_2000_MS, _YEAR_2000_MS + 2 * _CENTURY * MILLISECONDS_PER_DAY)}
_ORDERS = {"order_value": (0, 1_000_000_000)}

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
            ranges={"created_day": (-_CENTURY, _CENTURY)},
        ),
        "users": TableSpec(
            _schema(("user_id", _TEXT), ("activity", pa.int32())), key=("user_id",), ranges={"activity": (0, 4)}
        ),
        "impressions": TableSpec(
            _schema(("impression_id", _TEXT), ("day", _DAY), ("ts", _TS), ("user_id", _TEXT), ("photo_id", _TEXT)),
            key=("impression_id",),
            references={"user_id": "users", "photo_id": "videos"},
            ranges=_TIMES,
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
            references={"impression_id": "impressions"},
            ranges={**_DAYS, "position": (0, 1_000), **_ORDERS},
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
            references={"user_id": "users", "photo_id": "videos"},
            choices={"source": SEARCH_SOURCES},
            ranges={**_TIMES, "item_clicks": (0, 10_000), **_ORDERS},
        ),
        "search_clicks": TableSpec(
            _schema(("search_id", _TEXT), ("day", _DAY), ("query", _TEXT), ("photo_id", _TEXT)),
            references={"search_id": "searches", "photo_id": "videos"},
            ranges=_DAYS,
        ),
        "reviews": TableSpec(
            _schema(("photo_id", _TEXT), ("day", _DAY), ("verdict", _TEXT), ("policy_category", _TEXT, True)),
            key=("photo_id",),
            references={"photo_id": "videos"},
            choices={"verdict": VERDICTS},
            ranges={"day": (-_CENTURY, _CENTURY)},
        ),
    }
)
