from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.errors import DataError
from training.log_tables import read_log_table

ROWS = [{"day": 0, "query": "chair"}, {"day": 0, "query": "lamp"}, {"day": 1, "query": "chair"}]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("folder", ["searches", "searches.parquet"])
def test_a_table_may_be_a_folder_of_files(folder: str, tmp_path: Path) -> None:
    write(tmp_path / folder / "part-0.parquet", ROWS[:2])
    write(tmp_path / folder / "part-1.parquet", ROWS[2:])
    (tmp_path / folder / "_SUCCESS").touch()
    assert read_log_table(tmp_path, "searches", ["day", "query"]).to_pylist() == ROWS


def test_a_table_may_be_one_file(tmp_path: Path) -> None:
    write(tmp_path / "searches.parquet", ROWS)
    assert read_log_table(tmp_path, "searches", ["query"]).to_pylist() == [{"query": row["query"]} for row in ROWS]


def test_a_column_may_be_a_partition(tmp_path: Path) -> None:
    for day in (0, 1):
        rows = [{"query": row["query"]} for row in ROWS if row["day"] == day]
        write(tmp_path / "searches" / f"day={day}" / "part-0.parquet", rows)
    assert read_log_table(tmp_path, "searches", ["day", "query"]).to_pylist() == ROWS


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "searches").mkdir()
    with pytest.raises(
        DataError, match=r"searches\.parquet is missing, and so is a folder searches with Parquet files"
    ):
        read_log_table(tmp_path, "searches", ["day"])


@pytest.mark.parametrize("content", [b"no table", None])
def test_a_table_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "searches.parquet"
    path.write_bytes(content) if content else write(path, [{"day": 0}])
    with pytest.raises(DataError, match=r"searches\.parquet cannot be read as Parquet"):
        read_log_table(tmp_path, "searches", ["query"])
