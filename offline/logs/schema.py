"""The schema of the log tables: columns, keys, allowed values.

A dataset is a folder with one `<table>.parquet` for each table below. The demo world writes them; the logs of a
platform must be brought into the same form (docs/data_formats.md). `day` counts days since the first log day, `ts` is
unix time in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pyarrow as pa

SEARCH_SOURCES = ("bar", "post_video", "search_box", "reformulation")
VERDICTS = ("safe", "unsafe")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The form of one table.

    Attributes:
        schema: the columns in order; a column with `nullable=False` must not hold a null.
        key: columns that identify a row together; empty when rows have no key.
        choices: the allowed values of columns with a closed vocabulary.
        minimum: the lowest allowed value of numeric columns.
    """

    schema: pa.Schema
    key: tuple[str, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    minimum: Mapping[str, int] = field(default_factory=dict)


def _schema(*columns: tuple[str, pa.DataType] | tuple[str, pa.DataType, bool]) -> pa.Schema:
    """Build a schema from (name, type) for required columns and (name, type, True) for nullable ones."""
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
