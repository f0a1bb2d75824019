"""Bad rows of log tables are set aside with a reason and a count; too many of them stop the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cli.main import main
from offline.errors import SettingsError, TableError
from offline.logs.engine import Engine, open_engine
from offline.logs.intake import IntakeSettings, read_logs
from offline.logs.schema import TABLES
from tests.fixtures.poisoned_logs import DAY_MS, LENIENT, NOW_MS, STRICT, Row, write
from tests.unit.offline.logs.conftest import Poisoned


def rows_of(table: pa.Table) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row.values()) for row in table.to_pylist())


def test_sound_rows_come_out_and_bad_ones_are_counted_under_their_fault(
    poisoned: Poisoned, clean: dict[str, list[Row]], engine: Engine
) -> None:
    for name, rows in clean.items():
        count = poisoned.intake.counts[name]
        assert dict(count.faults) == poisoned.faults[name], name
        assert count.rows == len(rows) + sum(poisoned.faults[name].values())
        table = engine.fetch(poisoned.intake.tables[name])
        assert table.schema.types == TABLES[name].schema.types
        assert rows_of(table) == rows_of(pa.Table.from_pylist(rows, TABLES[name].schema)), name


def test_bad_rows_are_written_as_they_were_stored(poisoned: Poisoned) -> None:
    for name, faults in poisoned.faults.items():
        bad = pq.read_table(poisoned.folder / "set_aside" / f"{name}.parquet")
        assert Counter(bad["fault"].to_pylist()) == faults
        assert bad.column_names == [*TABLES[name].schema.names, "fault"]
    users = pq.read_table(poisoned.folder / "set_aside" / "users.parquet").to_pylist()
    assert {row["activity"] for row in users if row["fault"] == "activity: wrong type"} == {"1.5"}


def test_more_than_the_stated_share_stops_the_run_with_reasons_counts_and_fixes(
    poisoned: Poisoned, engine: Engine
) -> None:
    with pytest.raises(TableError) as stopped:
        read_logs(poisoned.folder, engine, STRICT)
    message = str(stopped.value)
    for name, faults in poisoned.faults.items():
        assert f"{name}: {sum(faults.values()):,} of " in message
        for fault, count in faults.items():
            assert f"{count:,} {fault}" in message
    assert "The limit is 1.0% of a table" in message
    assert str(poisoned.folder / "set_aside") in message
    assert "unknown: export the same days of all tables" in message


def test_the_command_prints_the_rows_and_fails_on_too_many_bad_ones(poisoned: Poisoned, busy_dataset: Path) -> None:
    sound = CliRunner().invoke(main, ["offline", "validate", str(busy_dataset)])
    assert sound.exit_code == 0, sound.output
    assert "impressions               609 rows" in sound.output
    bad = CliRunner().invoke(main, ["offline", "validate", str(poisoned.folder), "--max-bad-share", "0.2"])
    assert bad.exit_code == 1
    assert "The limit is 20.0% of a table" in bad.output


def test_logs_within_the_share_go_on_and_their_bad_rows_replace_those_of_an_earlier_run(
    tmp_path: Path, clean: dict[str, list[Row]], engine: Engine
) -> None:
    bad = {**clean["exposures"][0], "query": "x", "order_value": float("inf")}
    for name, rows in {**clean, "exposures": [*clean["exposures"], bad]}.items():
        write(tmp_path / "logs", name, rows)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "searches.parquet").touch()
    intake = read_logs(tmp_path / "logs", engine, IntakeSettings(set_aside=tmp_path / "bad", now_ms=NOW_MS))
    assert {name: count.bad for name, count in intake.counts.items() if count.bad} == {"exposures": 1}
    assert [path.name for path in (tmp_path / "bad").iterdir()] == ["exposures.parquet"]
    assert not (tmp_path / "logs" / "set_aside").exists()


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
    first, *others = clean["impressions"]
    lost = [row for row in clean["exposures"] if row["impression_id"] == first["impression_id"]]
    for name, rows in {**clean, "impressions": [{**first, "user_id": "deleted"}, *others]}.items():
        write(tmp_path / "logs", name, rows)
    counts = read_logs(tmp_path / "logs", engine, LENIENT).counts
    assert counts["impressions"].faults == {"user_id: unknown": 1}
    assert counts["exposures"].faults == {"impression_id: unknown": len(lost)}


def test_days_may_end_at_another_hour_than_midnight(
    tmp_path: Path, clean: dict[str, list[Row]], engine: Engine
) -> None:
    """Days of the busy shop begin at midnight, UTC; here they begin at 19:00."""
    for name, rows in clean.items():
        moved = [{**row, "ts": row["ts"] - 5 * DAY_MS // 24} if "ts" in row else row for row in rows]
        write(tmp_path / "logs", name, moved)
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
    for name, rows in clean.items():
        pq.write_to_dataset(
            pa.Table.from_pylist(rows, TABLES[name].schema),
            tmp_path / (f"{name}.parquet" if name == "users" else name),
            partition_cols=["day"] if "day" in TABLES[name].schema.names else None,
        )
    intake = read_logs(tmp_path, engine, STRICT)
    for name, rows in clean.items():
        assert rows_of(engine.fetch(intake.tables[name])) == rows_of(pa.Table.from_pylist(rows, TABLES[name].schema))


def test_rows_of_a_url_are_set_aside_in_a_folder_that_is_named(engine: Engine) -> None:
    with pytest.raises(SettingsError, match="--set-aside"):
        read_logs("s3://bucket/logs", engine)


def test_the_engine_says_above_which_size_it_spills_to_disk() -> None:
    assert open_engine(memory="3GB").memory_limit == pytest.approx(3e9, rel=0.05)


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="no engine is called 'hive'; the engines are duckdb, spark"):
        open_engine("hive")


def test_a_size_that_duckdb_cannot_read_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"does not accept --memory plenty.*write it like 4GB"):
        open_engine(memory="plenty")
