"""`onebar offline embedder`: from logs to a folder that the other commands read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from evidence.static_embedder import load_static_embedder
from offline.evidence.anchor_report import TUNING_STEPS
from offline.evidence.embedded_logs import TUNED_ANCHORS, TUNED_USERS, tuned_settings
from offline.train_embedder import REPORT_FILE

Rows = dict[str, list[dict[str, Any]]]


def onebar(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def logs(dataset: Callable[..., Path], clicked_rows: Rows) -> Path:
    """The busy shop with clicks in its searches."""
    return dataset("clicked", **clicked_rows)


def test_the_folder_has_an_embedder_with_its_report_and_other_commands_read_it(logs: Path, tmp_path: Path) -> None:
    out, rows = tmp_path / "embedder", tmp_path / "evidence.parquet"
    options = ("--dimension", 16, "--vocabulary-size", 512, "--batch-size", 32, "--max-steps", 8)
    trained = onebar("offline", "embedder", logs, out, *options)
    assert trained.exit_code == 0, trained.output
    embedder = load_static_embedder(out)
    assert f"embedder {embedder.version} written" in trained.output

    report = json.loads((out / REPORT_FILE).read_text(encoding="utf-8"))
    assert (report["before_day"], report["measured_day"], report["version"]) == (4, 5, embedder.version)
    assert len(report["stages"]) == 2
    evidence = report["evidence"]
    assert len(evidence["tried"]["anchors"]) == TUNING_STEPS
    assert {*evidence["tuned"]} == {*embedder.tuned} == {*TUNED_ANCHORS, *TUNED_USERS}
    for name in ("hashed", "trained"):
        assert evidence[name]["test"]["anchors"]["clicks"] == evidence["hashed"]["test"]["anchors"]["clicks"] > 20
    assert {name: figures["kind"] for name, figures in evidence["indexes"].items()} == {
        "videos": "flat",
        "queries": "flat",
    }
    best = max(tried["hit_rate"] for tried in evidence["tried"]["anchors"])
    assert evidence["trained"]["valid"]["anchors"]["hit_rate"] == best

    made = onebar("offline", "evidence", logs, rows, "--embedder", out)
    assert made.exit_code == 0, made.output
    assert set(pq.read_table(rows)["embedding_version"].to_pylist()) <= {embedder.version, None}


def test_all_days_are_trained_on_when_asked_for(logs: Path, tmp_path: Path) -> None:
    options = ("--dimension", 16, "--vocabulary-size", 512, "--batch-size", 32, "--max-steps", 1, "--all-days")
    assert onebar("offline", "embedder", logs, tmp_path / "out", *options).exit_code == 0
    report = json.loads((tmp_path / "out" / REPORT_FILE).read_text(encoding="utf-8"))
    assert (report["before_day"], report["all_days"]["before_day"]) == (4, 6)
    assert report["all_days"]["stages"][0]["pairs"]["query_video"] > report["stages"][0]["pairs"]["query_video"]


def test_logs_with_too_few_clicks_are_refused(busy_dataset: Path, tmp_path: Path) -> None:
    refused = onebar("offline", "embedder", busy_dataset, tmp_path / "out")
    assert refused.exit_code == 1
    assert "have 0 pairs of query_video; an embedder needs at least 100" in refused.output
    assert not (tmp_path / "out").exists()


def test_logs_of_two_days_are_refused(dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = dataset(
        videos=[{"photo_id": "p0"}],
        users=[{"user_id": "u0"}],
        impressions=[{"impression_id": "i", "day": 1, "user_id": "u0", "photo_id": "p0"}],
    )
    refused = onebar("offline", "embedder", folder, tmp_path / "out")
    assert "give logs of more days" in refused.output


def test_a_folder_that_is_no_embedder_is_named(busy_dataset: Path, tmp_path: Path) -> None:
    refused = onebar("offline", "users", busy_dataset, tmp_path / "users.parquet", "--embedder", busy_dataset)
    assert refused.exit_code == 1
    assert "embedder.json cannot be read" in refused.output


@pytest.mark.parametrize("option", [("--frozen",), ("--query-prompt", "query: ")])
def test_options_of_the_transformer_kind_need_a_model(busy_dataset: Path, tmp_path: Path, option: tuple[str]) -> None:
    refused = onebar("offline", "embedder", busy_dataset, tmp_path / "out", *option)
    assert (refused.exit_code, "need --model" in refused.output) == (2, True)


def test_tuned_values_replace_the_defaults_they_name() -> None:
    settings = tuned_settings({"query_weight": 0.75, "personal_threshold": 0.4})
    assert (settings.anchors.query_weight, settings.users.personal_threshold) == (0.75, 0.4)
    assert settings.anchors.similarity_threshold == tuned_settings({}).anchors.similarity_threshold
