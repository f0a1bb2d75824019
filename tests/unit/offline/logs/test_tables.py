"""Log tables follow one schema; a table that breaks it is refused with the name of the column."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from offline.errors import TableError
from offline.logs import tables
from offline.logs.schema import TABLES
from offline.logs.tables import TableWriter, read_table, table_path, write_table

USERS = {"user_id": ["u1", "u2"], "activity": [0, 4]}
REVIEWS = {"photo_id": ["p1", "p2"], "day": [0, 1], "verdict": ["safe", "unsafe"], "policy_category": [None, "weapons"]}


def test_what_is_written_is_read_back(tmp_path):
    path = write_table(tmp_path / "new", "reviews", REVIEWS)
    assert path == tmp_path / "new" / "reviews.parquet"
    table = read_table(tmp_path / "new", "reviews")
    assert table.to_pydict() == REVIEWS
    assert table.schema.equals(TABLES["reviews"].schema)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    one, two = (write_table(tmp_path / name, "users", USERS) for name in "ab")
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("sizes", [[10], [1, 9], [4, 4, 2], [0, 7, 3], [3, 3, 3, 1]])
def test_a_table_written_in_parts_has_the_bytes_of_one_written_at_once(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr(tables, "_ROWS_A_GROUP", 4)
    users = pa.table({"user_id": [f"u{n}" for n in range(10)], "activity": pa.array([n % 5 for n in range(10)])})
    whole = write_table(tmp_path / "whole", "users", users)
    writer = TableWriter(tmp_path / "parts", "users")
    first = 0
    for size in sizes:
        writer.append(users.slice(first, size))
        first += size
    assert not table_path(tmp_path / "parts", "users").exists()
    writer.close()
    assert writer.rows == 10
    assert table_path(tmp_path / "parts", "users").read_bytes() == whole.read_bytes()
    assert pq.ParquetFile(whole).metadata.num_row_groups == 3
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["users.parquet"]


def test_a_table_written_in_no_parts_is_empty(tmp_path):
    TableWriter(tmp_path, "users").close()
    assert read_table(tmp_path, "users").num_rows == 0


def test_a_part_that_breaks_the_schema_is_refused(tmp_path):
    writer = TableWriter(tmp_path, "users")
    with pytest.raises(TableError, match="row 0 has activity 9"):
        writer.append({"user_id": ["u1"], "activity": [9]})


def test_only_the_columns_asked_for_are_read(tmp_path):
    write_table(tmp_path, "reviews", REVIEWS)
    assert read_table(tmp_path, "reviews", ["verdict", "photo_id"]).column_names == ["verdict", "photo_id"]


def test_narrower_integers_dictionaries_and_other_column_orders_are_accepted(tmp_path):
    table = pa.table(
        {"activity": pa.array([1, 2], pa.int8()), "user_id": pa.array(["a", "b"]).dictionary_encode(), "extra": [1, 2]}
    )
    pq.write_table(table, tmp_path / "users.parquet")
    assert read_table(tmp_path, "users").to_pydict() == {"user_id": ["a", "b"], "activity": [1, 2]}


def test_an_empty_table_is_a_table(tmp_path):
    write_table(tmp_path, "users", TABLES["users"].schema.empty_table())
    assert read_table(tmp_path, "users").num_rows == 0


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("users", {"user_id": ["u1"]}, "no column 'activity'"),
        ("users", {"user_id": ["u1"], "activity": ["often"]}, "'activity' is string and cannot become int32"),
        ("users", {"user_id": ["u1", None], "activity": [1, 1]}, r"'user_id' must not hold nulls.*first: row 1"),
        ("users", {"user_id": ["u1", "u1"], "activity": [1, 1]}, "user_id must be unique, but 1 rows repeat"),
        ("users", {"user_id": ["u1", "u2"], "activity": [1, -3]}, "row 1 has activity -3; allowed are 0 to 4"),
        ("users", {"user_id": ["u1", "u2"], "activity": [1, 9]}, "row 1 has activity 9; allowed are 0 to 4"),
        ("reviews", REVIEWS | {"verdict": ["safe", "bad"]}, "row 1 has verdict 'bad'; allowed are safe, unsafe"),
    ],
)
def test_rows_that_break_the_schema_are_refused(tmp_path, table, columns, message):
    with pytest.raises(TableError, match=message):
        write_table(tmp_path, table, columns)
    assert not table_path(tmp_path, table).exists()


def test_reading_refuses_what_writing_refuses_and_names_the_file(tmp_path):
    pq.write_table(pa.table({"user_id": ["u1", "u1"], "activity": [1, 1]}), tmp_path / "users.parquet")
    with pytest.raises(TableError, match=r"users\.parquet: user_id must be unique"):
        read_table(tmp_path, "users")
    assert read_table(tmp_path, "users", check=False).num_rows == 2


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(TableError, match="onebar world"):
        read_table(tmp_path, "videos")


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "users.parquet").write_text("user_id,activity\n")
    with pytest.raises(TableError, match=r"users\.parquet cannot be read as Parquet"):
        read_table(tmp_path, "users")


def test_an_unknown_table_lists_the_known_ones(tmp_path):
    with pytest.raises(TableError, match="no table is called 'clicks'; the tables are videos, users"):
        table_path(tmp_path, "clicks")
