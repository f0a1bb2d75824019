"""Two small worlds, from their logs to the figures in the manifest. The bundle is random: its quality is unchecked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cli.main import main
from evidence.embedder import HashedEmbedder
from tests.fixtures.tiny_bundle import build_tiny_bundle
from tests.fixtures.tiny_embedder import (
    TRANSFORMER_VERSION,
    build_transformer_folder,
    put_embedder,
)

SIZES = "--videos 300 --users 120 --days 5 --impressions-per-day 600".split()


def onebar(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Worlds `own` and `other` with their examples, and a bundle."""
    folder = tmp_path_factory.mktemp("worlds")
    for name, seed in (("own", "3"), ("other", "4")):
        onebar("world", folder / name, "--seed", seed, *SIZES)
        onebar("offline", "examples", folder / name, folder / "examples" / name)
    build_tiny_bundle(folder / "bundle", seed=0)
    return folder


@pytest.fixture(scope="module")
def report(worlds: Path) -> dict[str, Any]:
    examples = worlds / "examples"
    output = onebar(
        "evaluate", worlds / "bundle", "--examples", examples / "own", "--unseen", examples / "other",
        "--truth", worlds / "own" / "truth", "--truth", worlds / "other" / "truth", "--limit", "250",
        "--logs", worlds / "own",
        "--out", worlds / "report",
    )  # fmt: skip
    for part in ("Reading recall of bundle", "Targets new to training", "Wrong entities", "Unseen world other"):
        assert part in output
        assert part in (worlds / "report.md").read_text()
    found: dict[str, Any] = json.loads((worlds / "report.json").read_text())
    return found


@pytest.fixture(scope="module")
def simulation(worlds: Path) -> dict[str, Any]:
    """An A/B test on the last day of the own world. The bundle is random, so it cannot reach the CTR of the cascade."""
    write_day(worlds, worlds / "ab", "4", "--no-embeddings")
    return simulated(worlds, worlds / "simulation")


def write_day(worlds: Path, folder: Path, day: str, *options: str | Path) -> None:
    folder.mkdir()
    for kind in ("evidence", "users"):
        onebar("offline", kind, worlds / "own", folder / f"{kind}-{day}.parquet", "--as-of-day", day, *options)


def simulated(
    worlds: Path, out: Path, *options: str | Path, bundle: str = "bundle", evidence: Path | None = None
) -> dict[str, Any]:
    output = onebar(*arguments_of_simulate(worlds, out, bundle, evidence or worlds / "ab"), *options)
    assert out.with_suffix(".md").read_text() in output
    found: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return found


def arguments_of_simulate(worlds: Path, out: Path, bundle: str, evidence: Path) -> list[str | Path]:
    return [
        "simulate", worlds / "own", worlds / bundle, "--examples", worlds / "examples" / "own", "--evidence", evidence,
        "--impressions", "300", "--calibration", "300", "--splits", "4", "--out", out,
    ]  # fmt: skip


def refusal(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    return result.output


def test_a_random_bundle_shows_nothing_under_the_ctr_of_the_cascade(simulation: dict[str, Any]) -> None:
    calibration = simulation["calibration"]
    assert calibration["exposure"]["control"] >= 0.7
    assert calibration["ctr"]["control"] >= calibration["ctr_floor"] > 0
    assert calibration["thresholds"]["treatment"] is None
    paired = simulation["a_b"]["paired"]
    assert paired["exposure"]["change"] == -1
    assert paired["clicks"]["control"] > 0
    assert simulation["bad_cases"]["treatment_queries"] == 0 < simulation["bad_cases"]["control_queries"]


def test_a_bundle_against_itself_changes_nothing(simulation: dict[str, Any], worlds: Path, tmp_path: Path) -> None:
    report = simulated(worlds, tmp_path / "alone", "--control", worlds / "bundle", "--control-exposure", "0.5")
    assert report["cascade_embedder"] is None
    assert report["control"] == report["treatment"] == simulation["treatment"] != simulation["control"]
    paired = report["a_b"]["paired"]
    assert paired["exposure"]["control"] > 0.4
    assert {figure["change"] for figure in paired.values()} == {0}
    assert report["bad_cases"]["control_queries"] == report["bad_cases"]["treatment_queries"] > 0


def test_a_simulation_says_which_units_its_intervals_are_over(simulation: dict[str, Any], worlds: Path) -> None:
    over = {name: unit for name, unit in simulation["intervals_over"].items() if unit != "viewers"}
    assert over == {"bad_cases": "videos"}
    assert set(simulation["intervals_over"]) == {"calibration", "a_a", "a_b", "slices", "bad_cases"}
    assert 0 < simulation["videos"] < 300 > simulation["viewers"] > 0
    text = (worlds / "simulation.md").read_text()
    assert "MCA has the embedder hashed-ngrams-1." in text
    bad_cases = text.split("## Bad cases by rule")[1]
    assert f"bootstrap over the {simulation['videos']:,} videos" in bad_cases


def test_a_bundle_with_a_transformer_reads_the_stored_vectors(
    simulation: dict[str, Any], worlds: Path, tmp_path: Path
) -> None:
    """The cascade embeds texts itself, with the hashed embedder."""
    folder = build_transformer_folder(tmp_path / "embedder", HashedEmbedder.dimension, {})
    put_embedder(Path(shutil.copytree(worlds / "bundle", worlds / "transformer")), folder)
    message = refusal(*arguments_of_simulate(worlds, tmp_path / "out", "transformer", worlds / "ab"))
    assert "has no vectors" in message
    write_day(worlds, tmp_path / "ab", "4")
    for path in (tmp_path / "ab").iterdir():  # as if the transformer had made the same vectors
        table = pq.read_table(path)
        version = pa.array([TRANSFORMER_VERSION] * len(table))
        place = table.schema.get_field_index("embedding_version")
        pq.write_table(table.set_column(place, "embedding_version", version), path)
    report = simulated(worlds, tmp_path / "out", bundle="transformer", evidence=tmp_path / "ab")
    assert report["cascade_embedder"] == simulation["cascade_embedder"] == HashedEmbedder.version
    assert report["a_a"] == simulation["a_a"]  # the cascade has the same personal queries and the same features


def test_a_day_that_the_cascade_learnt_from_is_refused(
    simulation: dict[str, Any], worlds: Path, tmp_path: Path
) -> None:
    write_day(worlds, tmp_path / "ab", "2", "--no-embeddings")
    arguments = arguments_of_simulate(worlds, tmp_path / "out", "bundle", tmp_path / "ab")
    assert "learnt from the clicks of day 2 and cannot answer for day 2" in refusal(*arguments)


def test_the_slices_of_a_simulation_have_every_impression_once(simulation: dict[str, Any]) -> None:
    for kind in ("age", "viewer"):
        parts = [part["impressions"] for name, part in simulation["slices"].items() if name.startswith(kind)]
        assert sum(parts) == 300
    split = simulation["a_b"]["split"]
    assert split["control_impressions"] + split["treatment_impressions"] == 300


def test_both_worlds_have_the_same_figures(report: dict[str, Any]) -> None:
    other = report["unseen"]["other"]
    assert other["examples"] == report["examples"] == 250
    assert set(report["systems"]) - set(other["systems"]) == {"bundle, title only", "MCA"}
    for world in (report, other):
        assert world["systems"]["cached queries"]["as_served"]["hr"]["mean"] > 0
        assert world["entities"]["clicked queries"]["wrong"]["mean"] < 0.1
        assert world["entities"]["most popular"]["wrong"]["mean"] > 0.5


def test_the_cached_queries_answer_what_stands_in_histories_within_the_first_eight(report: dict[str, Any]) -> None:
    for world in (report, report["unseen"]["other"]):
        reading = world["reading"]["bundle"]
        assert reading["any field"]["clicks"] >= reading["histories"]["clicks"] > 0
        assert reading["histories"]["recall"]["cached queries"]["mean"] == 1.0


def test_the_cascade_answers_more_than_the_most_popular_queries(report: dict[str, Any]) -> None:
    hits = {name: views["as_served"]["hr"]["mean"] for name, views in report["systems"].items()}
    assert hits["MCA"] > hits["most popular"] > 0
    assert report["differences"]["as_served"]["bundle - MCA"]["hr"]["interval"][1] < 0  # the bundle is random


def test_logs_add_slices_by_age_category_and_activity(report: dict[str, Any]) -> None:
    added = set(report["slices"]) - set(report["unseen"]["other"]["slices"])
    assert {"age 0 days", "viewer U0", "viewer U4"} <= added
    for kind in ("age ", "viewer ", "category "):
        parts = [part["examples"] for name, part in report["slices"].items() if name.startswith(kind)]
        assert sum(parts) == 250


def test_more_targets_are_new_in_the_unseen_world(report: dict[str, Any]) -> None:
    def new(world: dict[str, Any], part: str) -> int:
        clicks: int = world["new_targets"]["bundle"].get(part, {"examples": 0})["examples"]
        return clicks

    for part in ("target has a word unseen in training", "target unseen in training"):
        assert new(report["unseen"]["other"], part) > new(report, part)


def test_words_count_as_seen_if_any_folder_of_training_has_them(worlds: Path) -> None:
    examples = worlds / "examples"
    options = ["--examples", examples / "own", "--limit", "60", "--out", worlds / "alone"]
    counts = []
    for training in (["other"], ["other", "own"]):
        onebar("evaluate", *options, *(part for name in training for part in ("--training", examples / name)))
        new = json.loads((worlds / "alone.json").read_text())["new_targets"]["cached queries"]
        counts.append(new["target unseen in training"]["examples"])
    assert counts[0] > counts[1]


def test_the_truth_of_another_world_is_refused(worlds: Path) -> None:
    arguments = ["evaluate", "--examples", worlds / "examples" / "own", "--truth", worlds / "other" / "truth"]
    assert "is not the truth of these examples" in refusal(*arguments)


def test_the_figures_are_recorded_in_the_manifest(worlds: Path, report: dict[str, Any], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(worlds / "bundle", bundle)
    onebar("record", bundle, worlds / "report.json")
    recorded = json.loads((bundle / "manifest.json").read_text())["metrics"]["test"]
    other = recorded["unseen"]["other"]
    assert other["clicks"] == 250
    assert set(other["systems_at_8"]["bundle"]["as_served"]) == {"hr", "mrr"}
    for part in (recorded, other):
        assert part["reading_recall"]["histories"]["cached queries"] == 1.0
        assert part["wrong_entities"]["clicked queries"]["answered"] == 1.0
    assert other["new_targets"]["target unseen in training"]["clicks"] > 0
