"""Bad rows of log tables are set aside with a reason and a count; too many of them stop the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline.errors import SettingsError, TableError
from offline.logs.engine import Engine, open_engine
from offline.logs.intake import IntakeSettings, read_logs
from offline.logs.schema import TABLES
from offline.logs.tables import read_table

DAY_MS = 86_400_000
NOW_MS = 1_700_006_400_000 + 30 * DAY_MS  # day 30 of the logs of conftest.py
LENIENT = IntakeSettings(max_bad_share=1.0, now_ms=NOW_MS)
STRICT = IntakeSettings(now_ms=NOW_MS)

Row = dict[str, Any]

POISON: dict[str, dict[str, Callable[[Row], Row]]] = {
    "videos": {
        "created_day: wrong type": lambda row: {"created_day": "yesterday"},
        "author_id: null": lambda row: {"author_id": None},
        "photo_id: absurd value": lambda row: {"photo_id": "p" * 300},
        "created_day: in the future": lambda row: {"created_day": "400"},
        "photo_id: duplicate": lambda row: {"photo_id": row["photo_id"]},
    },
    "users": {
        "activity: wrong type": lambda row: {"activity": "1.5"},
        "activity: absurd value": lambda row: {"activity": "70"},
        "user_id: null": lambda row: {"user_id": None},
        "user_id: duplicate": lambda row: {"user_id": row["user_id"]},
    },
    "impressions": {
        "day: wrong type": lambda row: {"day": "soon"},
        "user_id: null": lambda row: {"user_id": None},
        "ts: absurd value": lambda row: {"ts": row["ts"] // 1000},
        "ts: in the future": lambda row: {"ts": NOW_MS + 1},
        "day: in the future": lambda row: {"day": "9999"},
        "day: does not fit": lambda row: {"day": str(row["day"] + 3)},
        "photo_id: unknown": lambda row: {"photo_id": "deleted"},
        "user_id: unknown": lambda row: {"user_id": "deleted"},
        "impression_id: duplicate": lambda row: {"impression_id": row["impression_id"]},
    },
    "exposures": {
        "clicked: wrong type": lambda row: {"clicked": "maybe"},
        "query: null": lambda row: {"query": None},
        "position: absurd value": lambda row: {"position": -1},
        "order_value: absurd value": lambda row: {"order_value": float("nan")},
        "day: does not fit": lambda row: {"day": row["day"] + 3},
        "impression_id: unknown": lambda row: {"impression_id": "deleted"},
        "impression_id + query: duplicate": lambda row: {"query": row["query"]},
    },
    "searches": {
        "item_clicks: wrong type": lambda row: {"item_clicks": "1e3"},
        "source: value not allowed": lambda row: {"source": "telephone"},
        "search_id: absurd value": lambda row: {"search_id": ""},
        "ts: in the future": lambda row: {"ts": NOW_MS + DAY_MS},
        "photo_id: unknown": lambda row: {"photo_id": "deleted"},
        "search_id: duplicate": lambda row: {"search_id": row["search_id"]},
    },
    "search_clicks": {
        "query: null": lambda row: {"query": None},
        "search_id: unknown": lambda row: {"search_id": "deleted"},
        "day: does not fit": lambda row: {"day": row["day"] + 4},
    },
    "reviews": {
        "verdict: value not allowed": lambda row: {"verdict": "perhaps"},
        "photo_id: unknown": lambda row: {"photo_id": "deleted"},
        "day: in the future": lambda row: {"day": 9999},
    },
}
"""By table and fault, what makes a sound row a bad one."""

STORED_TYPES = {"created_day": pa.string(), "activity": pa.string(), "clicked": pa.string(), "item_clicks": pa.string()}
"""Columns that a careless export writes as strings; the day of impressions too."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return open_engine()


@pytest.fixture
def clean(busy_dataset: Path) -> dict[str, list[Row]]:
    """The rows of the busy shop, with some search clicks."""
    rows = {name: read_table(busy_dataset, name).to_pylist() for name in TABLES}
    rows["search_clicks"] = [
        {"search_id": row["search_id"], "day": row["day"], "query": row["query"], "photo_id": "p1"}
        for row in rows["searches"][:40]
    ]
    return rows


def write(folder: Path, name: str, rows: list[Row]) -> None:
    """Write rows as a careless export would: some columns hold numbers and flags as strings."""
    fields = []
    for field in TABLES[name].schema:
        is_text = field.name in STORED_TYPES or (name, field.name) == ("impressions", "day")
        fields.append(pa.field(field.name, pa.string() if is_text else field.type))
    schema = pa.schema(fields)
    texts = [field.name for field in schema if field.type != TABLES[name].schema.field(field.name).type]
    stored = [{**row, **{c: None if row[c] is None else str(row[c]) for c in texts}} for row in rows]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(stored, schema), folder / f"{name}.parquet")


@pytest.fixture
def poisoned(tmp_path: Path, clean: dict[str, list[Row]]) -> tuple[Path, dict[str, dict[str, int]]]:
    """The busy shop and, for each fault, one bad row for every ten sound ones; and the number of bad rows by fault."""
    expected: dict[str, dict[str, int]] = {}
    for name, rows in clean.items():
        share = max(len(rows) // 10, 1)
        bad = []
        for number, poison in enumerate(POISON[name].values()):
            for place in range(share):
                row = rows[(place * 7 + number) % len(rows)]
                key = TABLES[name].key[-1:]  # a new key, so that the row is no duplicate by accident
                fresh = {column: f"bad{number}-{place}" for column in key if name != "reviews"}
                bad.append({**row, **fresh, **poison(row)})
        expected[name] = dict.fromkeys(POISON[name], share)
        write(tmp_path / "poisoned", name, [*bad[::2], *rows, *bad[1::2]])
    return tmp_path / "poisoned", expected


def rows_of(table: pa.Table) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row.values()) for row in table.to_pylist())


def test_a_sound_row_comes_out_and_a_bad_one_is_counted_under_its_fault(
    poisoned: tuple[Path, dict[str, dict[str, int]]], clean: dict[str, list[Row]], engine: Engine
) -> None:
    folder, expected = poisoned
    intake = read_logs(folder, engine, LENIENT)
    for name, rows in clean.items():
        assert dict(intake.counts[name].faults) == expected[name], name
        assert intake.counts[name].rows == len(rows) + sum(expected[name].values())
        table = engine.fetch(intake.tables[name])
        assert table.schema.types == TABLES[name].schema.types
        assert rows_of(table) == rows_of(pa.Table.from_pylist(rows, TABLES[name].schema)), name


def test_bad_rows_are_written_as_they_were_stored(
    poisoned: tuple[Path, dict[str, dict[str, int]]], engine: Engine
) -> None:
    folder, expected = poisoned
    read_logs(folder, engine, LENIENT)
    for name, faults in expected.items():
        bad = pq.read_table(folder / "set_aside" / f"{name}.parquet")
        assert Counter(bad["fault"].to_pylist()) == faults
        assert bad.column_names == [*TABLES[name].schema.names, "fault"]
    users = pq.read_table(folder / "set_aside" / "users.parquet").to_pylist()
    assert {row["activity"] for row in users if row["fault"] == "activity: wrong type"} == {"1.5"}


def test_more_than_the_stated_share_stops_the_run_with_reasons_counts_and_fixes(
    poisoned: tuple[Path, dict[str, dict[str, int]]], engine: Engine
) -> None:
    folder, expected = poisoned
    with pytest.raises(TableError) as stopped:
        read_logs(folder, engine, STRICT)
    message = str(stopped.value)
    for name, faults in expected.items():
        assert f"{name}: {sum(faults.values()):,} of " in message
        for fault, count in faults.items():
            assert f"{count:,} {fault}" in message
    assert "The limit is 1.0%" in message
    assert str(folder / "set_aside") in message
    assert "unknown: export the same days of all tables" in message


def test_logs_within_the_share_go_on_and_name_their_folder(
    tmp_path: Path, clean: dict[str, list[Row]], engine: Engine
) -> None:
    clean["exposures"].append({**clean["exposures"][0], "query": "x", "order_value": float("inf")})
    for name, rows in clean.items():
        write(tmp_path / "logs", name, rows)
    settings = IntakeSettings(set_aside=tmp_path / "bad", now_ms=NOW_MS)
    intake = read_logs(tmp_path / "logs", engine, settings)
    assert {name: count.bad for name, count in intake.counts.items() if count.bad} == {"exposures": 1}
    assert [path.name for path in (tmp_path / "bad").iterdir()] == ["exposures.parquet"]
    assert not (tmp_path / "logs" / "set_aside").exists()

    clean["exposures"].pop()
    write(tmp_path / "logs", "exposures", clean["exposures"])
    read_logs(tmp_path / "logs", engine, settings)
    assert not list((tmp_path / "bad").iterdir()), "the rows of an earlier run are removed"


def test_of_two_rows_with_one_key_the_earlier_one_stays(
    tmp_path: Path, clean: dict[str, list[Row]], engine: Engine
) -> None:
    first = clean["searches"][0]
    late = {**first, "ts": first["ts"] + 5, "query": "a"}
    later = {**first, "ts": first["ts"] + 9, "query": "b", "photo_id": None}
    for name, rows in {**clean, "searches": [late, later, *clean["searches"], later]}.items():
        write(tmp_path / "logs", name, rows)
    intake = read_logs(tmp_path / "logs", engine, LENIENT)
    assert intake.counts["searches"].faults == {"search_id: duplicate": 3}
    assert rows_of(engine.fetch(intake.tables["searches"])) == rows_of(pa.Table.from_pylist(clean["searches"]))


def test_bad_impressions_take_their_exposures_along(
    tmp_path: Path, clean: dict[str, list[Row]], engine: Engine
) -> None:
    clean["impressions"][0]["user_id"] = "deleted"
    lost = [row for row in clean["exposures"] if row["impression_id"] == clean["impressions"][0]["impression_id"]]
    for name, rows in clean.items():
        write(tmp_path / "logs", name, rows)
    counts = read_logs(tmp_path / "logs", engine, LENIENT).counts
    assert counts["impressions"].faults == {"user_id: unknown": 1}
    assert counts["exposures"].faults == {"impression_id: unknown": len(lost)}


def test_days_may_end_at_another_hour_than_midnight(
    tmp_path: Path, clean: dict[str, list[Row]], engine: Engine
) -> None:
    """Days of the busy shop begin at midnight, UTC; here they begin at 5:00 and at 19:00."""
    for hours in (5, -5):
        moved = {
            name: [{**row, "ts": row["ts"] + hours * DAY_MS // 24} if "ts" in row else row for row in rows]
            for name, rows in clean.items()
        }
        for name, rows in moved.items():
            write(tmp_path / "logs", name, rows)
        assert not any(count.bad for count in read_logs(tmp_path / "logs", engine, STRICT).counts.values())


@pytest.mark.parametrize(
    ("name", "column", "values", "message"),
    [
        ("users", "activity", None, "users has no column 'activity'"),
        ("impressions", "ts", pa.array([NOW_MS], pa.timestamp("ms")), "'ts' is timestamp.* and cannot become int64"),
        ("videos", "caption", pa.array([1.5]), "'caption' is float64 and cannot become string"),
    ],
)
def test_a_column_that_is_missing_or_of_a_hopeless_type_is_named(
    name: str, column: str, values: pa.Array | None, message: str, dataset: Callable[..., Path], engine: Engine
) -> None:
    folder = dataset(users=[{"user_id": "u0"}])
    row = pa.table({field.name: pa.nulls(1, field.type) for field in TABLES[name].schema})
    row = row.drop_columns([column])
    pq.write_table(row if values is None else row.append_column(column, values), folder / f"{name}.parquet")
    with pytest.raises(TableError, match=message):
        read_logs(folder, engine, STRICT)


def test_a_missing_table_and_a_file_that_is_no_parquet_are_named(
    tmp_path: Path, dataset: Callable[..., Path], engine: Engine
) -> None:
    with pytest.raises(TableError, match=r"videos\.parquet is missing.*onebar world"):
        read_logs(tmp_path, engine)
    folder = dataset()
    (folder / "users.parquet").write_text("user_id,activity\n")
    with pytest.raises(TableError, match="users cannot be read as Parquet"):
        read_logs(folder, engine)


def test_a_table_may_be_a_folder_of_files_or_partitions(
    tmp_path: Path, clean: dict[str, list[Row]], engine: Engine
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for name, rows in clean.items():
        pq.write_to_dataset(
            pa.Table.from_pylist(rows, TABLES[name].schema),
            parts / (f"{name}.parquet" if name == "users" else name),
            partition_cols=["day"] if "day" in TABLES[name].schema.names else None,
        )
        write(whole, name, rows)
    one, other = (read_logs(folder, engine, STRICT) for folder in (whole, parts))
    for name in TABLES:
        assert one.counts[name] == other.counts[name]
        assert rows_of(engine.fetch(one.tables[name])) == rows_of(engine.fetch(other.tables[name]))


def test_rows_of_a_url_are_set_aside_in_a_folder_that_is_named(engine: Engine) -> None:
    with pytest.raises(SettingsError, match="--set-aside"):
        read_logs("s3://bucket/logs", engine)


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="no engine is called 'hive'; the engines are duckdb, spark"):
        open_engine("hive")
