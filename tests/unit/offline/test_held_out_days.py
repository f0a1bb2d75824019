"""An embedder that has learnt from the test day makes evidence of the next day, but no examples and no lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from evidence.static_embedder import FORMAT, KIND, load_static_embedder
from offline.embedder.folder import write_manifest
from offline.embedder.held_out import check_held_out
from tests.unit.offline.conftest import DAY_MS, write_rows

Rows = dict[str, list[dict[str, Any]]]
REFUSED = "has learnt from the days before 6, day 5 among them, whose clicks are to be predicted"
TINY = ("--dimension", 16, "--vocabulary-size", 512, "--batch-size", 32, "--max-steps", 1)


def onebar(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["offline", *map(str, arguments)])


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, clicked_rows: Rows) -> Path:
    """The busy shop with clicks in its searches, days 0 to 5."""
    return write_rows(tmp_path_factory.mktemp("logs") / "logs", **clicked_rows)


@pytest.fixture(scope="module")
def embedder(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedder that was trained on all days of the logs."""
    folder = tmp_path_factory.mktemp("trained") / "embedder"
    trained = onebar("embedder", logs, folder, *TINY, "--all-days")
    assert trained.exit_code == 0, trained.output
    return folder


def with_another_day(rows: Rows) -> Rows:
    """The same logs when one more day has passed, in which the events of day 5 happened again."""

    def again(row: dict[str, Any]) -> dict[str, Any]:
        renamed = {name: f"{row[name]}-again" for name in ("impression_id", "search_id") if name in row}
        times = {"ts": row["ts"] + DAY_MS} if "ts" in row else {}
        return {**row, **renamed, **times, "day": 6}

    events = ("impressions", "exposures", "searches", "search_clicks")
    return {**rows, **{name: rows[name] + [again(row) for row in rows[name] if row["day"] == 5] for name in events}}


@pytest.mark.parametrize("command", ["examples", "lists"])
def test_examples_and_lists_are_refused(command: str, logs: Path, embedder: Path, tmp_path: Path) -> None:
    refused = onebar(command, logs, tmp_path / "out", "--embedder", embedder)
    assert refused.exit_code == 1, refused.output
    assert REFUSED in refused.output
    assert "train one on these logs without --all-days" in refused.output
    assert not (tmp_path / "out").exists()


def test_a_build_with_it_makes_evidence_and_refuses_examples(logs: Path, embedder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused = onebar("build", logs, out, "--embedder", embedder, "--examples")
    assert refused.exit_code == 1, refused.output
    assert REFUSED in refused.output
    assert not (out / "examples").exists()
    without = onebar("build", logs, out, "--embedder", embedder)
    assert without.exit_code == 0, without.output
    versions = set(pq.read_table(out / "evidence.parquet")["embedding_version"].to_pylist())
    assert versions <= {load_static_embedder(embedder).version, None}


def test_logs_that_have_gone_on_for_a_day_give_examples_and_lists(
    dataset: Callable[..., Path], clicked_rows: Rows, embedder: Path, tmp_path: Path
) -> None:
    """So a refresh of day 6 may use an embedder that has learnt from day 5, its validation day."""
    later = dataset(**with_another_day(clicked_rows))
    for command, *options in (("lists",), ("build", "--examples")):
        made = onebar(command, later, tmp_path / command, "--embedder", embedder, *options)
        assert made.exit_code == 0, made.output
    assert set(pq.read_table(tmp_path / "build" / "examples" / "examples_test.parquet")["day"].to_pylist()) == {6}


@pytest.mark.parametrize("details", [None, {}, {"before_day": 0}, {"before_day": 5}])
def test_an_embedder_that_does_not_know_the_test_day_is_used(details: dict[str, Any] | None, tmp_path: Path) -> None:
    manifest = {"format": FORMAT, "kind": KIND, "version": "static-0", "files": {}, "tuned": {}}
    write_manifest(tmp_path, manifest if details is None else {**manifest, "details": details})
    check_held_out(tmp_path, 5)


def test_the_hashed_embedder_has_learnt_nothing() -> None:
    check_held_out(None, 0)
