"""DuckDB and Spark give the same rows. `make test-spark` runs this file; it needs Java and PySpark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.world.build import build_world
from demo.world.spec import WorldSpec
from offline.evidence.behaviour_lists import write_lists
from offline.evidence.embedded_logs import EmbeddedLogs, embed_logs
from offline.evidence.examples import ExampleSettings, write_examples
from offline.evidence.list_candidates import ListSettings
from offline.evidence.safety_labels import label_videos, read_terms
from offline.evidence.store_rows import evidence_table, user_table
from offline.logs.engine import Engine, open_engine
from offline.logs.intake import read_logs
from offline.logs.schema import TABLES
from tests.fixtures.poisoned_logs import LENIENT
from tests.unit.offline.logs.conftest import Poisoned

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def spark() -> Engine:
    return open_engine("spark", master="local[2]")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop of the demo world."""
    folder = tmp_path_factory.mktemp("shop")
    build_world(folder, WorldSpec(seed=7, videos=300, users=120, days=4, impressions_per_day=500))
    return folder


def in_order(table: pa.Table) -> list[str]:
    """Return the rows as strings, in order; NaN equals NaN."""
    return sorted(map(str, table.to_pylist()))


def test_the_same_rows_of_poisoned_logs_are_accepted_and_set_aside(
    poisoned: Poisoned, spark: Engine, tmp_path: Path
) -> None:
    intake = read_logs(poisoned.folder, spark, replace(LENIENT, set_aside=tmp_path))
    for name in TABLES:
        assert intake.counts[name] == poisoned.intake.counts[name]
        accepted = (in_order(each.engine.fetch(each.tables[name])) for each in (intake, poisoned.intake))
        assert next(accepted) == next(accepted), name
        stored = (folder / f"{name}.parquet" for folder in (tmp_path, poisoned.folder / "set_aside"))
        bad = [in_order(pq.read_table(path)) for path in stored]
        assert bad[0] == bad[1], name


def test_the_same_evidence_user_histories_examples_and_lists_are_made(
    shop: Path, engine: Engine, spark: Engine, tmp_path: Path
) -> None:
    by_duckdb = everything(embed_logs(shop, engine=engine), shop, tmp_path / "duckdb")
    by_spark = everything(embed_logs(shop, engine=spark), shop, tmp_path / "spark")
    assert by_duckdb.keys() == by_spark.keys()
    for name, table in by_duckdb.items():
        assert table.num_rows, name
        assert table.equals(by_spark[name]), name


def everything(embedded: EmbeddedLogs, shop: Path, out: Path) -> dict[str, pa.Table]:
    """Return all that is made from logs, by name."""
    day = embedded.logs.last_day
    labels = label_videos(embedded.logs, read_terms(shop, None))
    write_examples(embedded, labels, ExampleSettings(), out)
    write_lists(embedded, labels, ListSettings(), out)
    written = {path.name: pq.read_table(path) for path in sorted(out.iterdir())}
    return {**written, "evidence": evidence_table(embedded, day), "users": user_table(embedded, day)}
