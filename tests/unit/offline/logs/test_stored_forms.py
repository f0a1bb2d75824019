"""Forms in which a table may be stored. Each engine reads the rows that are stated here, so both read the same rows.

`make test-spark` runs the cases of Spark; it needs Java and PySpark.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline.errors import TableError
from offline.logs.engine import Engine, open_engine
from offline.logs.faults import cast_columns
from offline.logs.schema import TABLES

Columns = Mapping[str, pa.Array]


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def either(request: pytest.FixtureRequest) -> Engine:
    return open_engine(request.param, master="local[1]")


def users(*rows: tuple[str, int], stored: pa.DataType | None = None) -> Columns:
    names, activities = zip(*rows, strict=True)
    return {"user_id": pa.array(names), "activity": pa.array(activities, stored or pa.int32())}


def activity(value: int) -> Columns:
    """The columns of a file in a folder `user_id=…`."""
    return {"activity": pa.array([value], pa.int32())}


def read(engine: Engine, folder: Path, name: str, files: Mapping[str, Columns]) -> list[dict[str, Any]]:
    """Write a table as these files and return what the engine reads of it, in order of its key."""
    for path, columns in files.items():
        (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(dict(columns)), folder / name / path)
    rows = cast_columns(engine.read(folder, name), name, name)
    return engine.fetch(rows.select(*TABLES[name].schema.names).order_by(list(TABLES[name].key))).to_pylist()


@pytest.mark.parametrize(
    ("values", "read_as"),
    [
        (["007", "12"], ["007", "12"]),
        (["0", "1e3", "2026-11-27"], ["0", "1e3", "2026-11-27"]),
        (["1.50", "NaN", "true"], ["1.50", "NaN", "true"]),
        (["a%3Ab", "_a"], ["_a", "a:b"]),
        (["__HIVE_DEFAULT_PARTITION__", "u1"], ["u1", None]),
    ],
)
def test_ids_in_the_names_of_folders_stay_as_they_are(
    either: Engine, tmp_path: Path, values: list[str], read_as: list[str | None]
) -> None:
    rows = read(either, tmp_path, "users", {f"user_id={value}/part-0.parquet": activity(1) for value in values})
    assert sorted((row["user_id"] for row in rows), key=str) == sorted(read_as, key=str)


def test_days_in_the_names_of_folders_are_numbers(either: Engine, tmp_path: Path) -> None:
    review = {
        "photo_id": pa.array(["p1"]),
        "verdict": pa.array(["safe"]),
        "policy_category": pa.array([None], "string"),
    }
    files = {f"day={day}/part-0.parquet": review for day in ("2", "03", "10", "soon")}
    days = [row["day"] for row in read(either, tmp_path, "reviews", files)]
    assert sorted(days, key=str) == [10, 2, 3, None]


def test_what_a_writer_left_behind_is_not_read(either: Engine, tmp_path: Path) -> None:
    files = {
        "part-0.parquet": users(("u1", 1)),
        "_old.parquet": users(("u2", 1)),
        ".part-1.parquet": users(("u3", 1)),
        "_temporary/0/_temporary/attempt_1/part-2.parquet": users(("u4", 1)),
        ".hidden/part-3.parquet": users(("u5", 1)),
    }
    assert read(either, tmp_path, "users", files) == [{"user_id": "u1", "activity": 1}]


def test_what_a_writer_left_behind_in_a_partition_is_not_read(either: Engine, tmp_path: Path) -> None:
    files = {"user_id=u1/part-0.parquet": activity(1), "user_id=u1/_part-1.parquet": activity(2)}
    assert read(either, tmp_path, "users", files) == [{"user_id": "u1", "activity": 1}]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_above_the_table_may_be_hidden(either: Engine, tmp_path: Path, scheme: str) -> None:
    folder = tmp_path / "_logs" / ".of_today"
    files = {"part-0.parquet": users(("u1", 1)), "_old.parquet": users(("u2", 1))}
    read(either, folder, "users", files)
    assert either.count(either.read(f"{scheme}{folder}", "users")) == 1


def test_a_table_of_nothing_but_hidden_files_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"users\.parquet is missing"):
        read(open_engine(), tmp_path, "users", {"_temporary/part-0.parquet": users(("u1", 1))})


def test_other_files_are_not_read(either: Engine, tmp_path: Path) -> None:
    files = {"part-0.snappy.parquet": users(("u1", 1)), "part-1.parquet.bak": users(("u2", 1))}
    assert read(either, tmp_path, "users", files) == [{"user_id": "u1", "activity": 1}]


def test_a_column_that_only_some_files_have_is_null_in_the_others(either: Engine, tmp_path: Path) -> None:
    texts = {name: pa.array(["x"]) for name in ("caption", "photo_title", "title", "item_title", "summary")}
    video = {"author_id": pa.array(["a"]), "created_day": pa.array([0], pa.int32()), **texts}
    files = {
        "part-0.parquet": {"photo_id": pa.array(["p1"]), **video},
        "part-1.parquet": {"photo_id": pa.array(["p2"]), "category": pa.array(["kitchen"]), **video},
    }
    rows = read(either, tmp_path, "videos", files)
    assert [(row["photo_id"], row["category"]) for row in rows] == [("p1", None), ("p2", "kitchen")]


@pytest.mark.spark
def test_spark_refuses_a_table_whose_files_store_a_column_in_two_types(tmp_path: Path) -> None:
    files = {"part-0.parquet": users(("u1", 1)), "part-1.parquet": users(("u2", 1), stored=pa.int64())}
    with pytest.raises(TableError, match=r"users cannot be read as Parquet: .*\[CANNOT_MERGE_SCHEMAS\]"):
        read(open_engine("spark", master="local[1]"), tmp_path, "users", files)


@pytest.mark.parametrize("stored", [pa.uint64(), pa.decimal128(20, 0)])
def test_ids_may_be_whole_numbers_of_twenty_digits(either: Engine, tmp_path: Path, stored: pa.DataType) -> None:
    ids = [5, 2**64 - 1]
    files = {"part-0.parquet": {"user_id": pa.array(ids, stored), "activity": pa.array([1, 2], pa.int32())}}
    assert [row["user_id"] for row in read(either, tmp_path, "users", files)] == ["18446744073709551615", "5"]


def test_ids_of_broken_numbers_are_refused(either: Engine, tmp_path: Path) -> None:
    files = {"part-0.parquet": {"user_id": pa.array([5], pa.decimal128(20, 2)), "activity": pa.array([1])}}
    with pytest.raises(TableError, match=r"'user_id' is .* and cannot become string"):
        read(either, tmp_path, "users", files)


def test_a_number_in_a_string_ends_with_the_string(either: Engine, tmp_path: Path) -> None:
    stored = ["1", "2\n", "3\r\n", "4\r", " 5", "6 ", "7\u2028", "+8"]
    ids = pa.array([f"u{place}" for place in range(len(stored))])
    files = {"part-0.parquet": {"user_id": ids, "activity": pa.array(stored)}}
    rows = read(either, tmp_path, "users", files)
    assert [row["activity"] for row in rows] == [1, *[None] * 6, 8]


def test_a_decimal_in_a_string_ends_with_the_string(either: Engine, tmp_path: Path) -> None:
    stored = ["1.5", "2.5\n", "3.5\r\n", "-1e2"]
    size = len(stored)
    files = {
        "part-0.parquet": {
            "impression_id": pa.array([f"i{place}" for place in range(size)]),
            "day": pa.array([0] * size, pa.int32()),
            **{name: pa.array(["x"] * size) for name in ("query", "policy")},
            "position": pa.array([0] * size, pa.int32()),
            **{name: pa.array([False] * size) for name in ("clicked", "engaged", "ordered")},
            "order_value": pa.array(stored),
        }
    }
    assert [row["order_value"] for row in read(either, tmp_path, "exposures", files)] == [1.5, None, None, -100.0]
