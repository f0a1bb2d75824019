"""The benchmark on title pairs: its figures and its command."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the imported packages
    import sentence_transformers  # noqa: F401

from benchmarks.title_pairs.__main__ import main
from benchmarks.title_pairs.examples import example_rows
from benchmarks.title_pairs.figures import group_masks, hit_rates, paired_differences, reading_recall
from benchmarks.title_pairs.pairs import Split
from evaluation.inputs import TitledQuery
from evidence.rows import EVIDENCE_COLUMNS
from tests.fixtures.title_pairs import THINGS, shop_lines, write_pairs
from training.checkpoint import load_checkpoint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.tsv.gz", shop_lines())


# Figures


def test_every_dev_pair_is_in_one_group() -> None:
    dev = [TitledQuery("t", query, str(n)) for n, query in enumerate(("a", "b", "c"))]
    split = Split(train=[TitledQuery("t", "a", "x")], valid=[], held_out=frozenset("b"))
    masks = {name: mask.tolist() for name, mask in group_masks(dev, split).items()}
    assert masks == {
        "all": [True, True, True],
        "seen": [True, False, False],
        "held_out": [False, True, False],
        "other": [False, False, True],
    }


def test_hits_are_counted_exactly_and_within_two_edits_by_group() -> None:
    dev = [TitledQuery("t", query, str(n)) for n, query in enumerate(("tent", "bike", "lamp", "mat"))]
    groups = {"all": np.ones(4, bool), "none": np.zeros(4, bool)}
    found = hit_rates(dev, {"generator": [["tent"], ["x", "bike"], ["lamps"], []]}, groups)
    figures = {label: figure["mean"] for label, figure in found["all"]["generator"].items()}
    assert figures == {"hr@8": 0.5, "mrr@8": 0.375, "within_two_edits@8": 0.75}
    assert found["none"] == {"pairs": 0}


def test_reading_recall_is_over_the_targets_in_the_source() -> None:
    dev = [TitledQuery("t", query, str(n)) for n, query in enumerate(("a", "b", "c", "d"))]
    readable = [frozenset("a"), frozenset("bx"), frozenset("c"), frozenset("x")]
    found = reading_recall(
        dev, readable, [["A"], ["b"], [], ["d"]], "tfidf", [["a"], ["x"], ["c"], []], {"all": np.ones(4, bool)}
    )
    assert found["all"] == {
        "in_source": 3,
        "share": 0.75,
        "generator": 0.6667,
        "tfidf": 0.6667,
        "beyond_eight": {"in_source": 1, "generator": 1.0},
    }


def test_a_paired_difference_is_that_of_the_hits_on_the_same_pairs() -> None:
    dev = [TitledQuery("t", query, str(n)) for n, query in enumerate(("a", "b", "c", "d"))]
    groups = {"all": np.ones(4, bool), "first": np.array([True, False, False, False]), "none": np.zeros(4, bool)}
    retrieved = {"tfidf": [["a"], [], [], []], "fused": [["a"], ["b"], [], []]}
    found = paired_differences(dev, [["a"], ["b"], ["c"], []], retrieved, groups)
    assert found["best_retrieval"] == "fused"
    assert {name: figure["mean"] for name, figure in found["all"].items()} == {"tfidf": 0.5, "fused": 0.25}
    assert found["all"]["fused"]["interval"][0] <= 0.25 <= found["all"]["fused"]["interval"][1]
    assert found["first"]["fused"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    assert found["none"]["fused"]["mean"] == 0.0


# The command

TINY = (
    "model.encoder_layers=1", "model.decoder_layers=1", "model.d_model=16", "model.ffn_dim=16",
    "model.attention_heads=2", "optim.max_steps=4", "validation.every_steps=100", "validation.click_examples=2",
    "optim.batch_size=16", "runtime.threads=1", "runtime.precision=fp32", "runtime.device=cpu",
)  # fmt: skip


def options(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture
def command(file: Path) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main, [str(file), *options(TINY), *arguments])


def test_the_baseline_alone_needs_no_training(command: Callable[..., Result], tmp_path: Path) -> None:
    result = command("--baseline-only", "--work", str(tmp_path / "work"))
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert set(report["groups"]["all"]) == {"pairs", "tfidf"}
    assert not (tmp_path / "work").exists()


def test_a_preparation_is_what_a_run_continues_from(command: Callable[..., Result], tmp_path: Path) -> None:
    work = tmp_path / "work"
    prepared = command("--anchors", "fused", "--work", str(work), "--prepare-only")
    assert prepared.exit_code == 0, prepared.output
    report = json.loads(prepared.stdout)
    assert report["protocol"]["anchors_by"] == "fused"
    assert set(report["retrieval"]["weights"]) == {"embedder", "fused"}
    assert set(report["retrieval"]["share_with_target"]) == {"train", "valid", "dev"}
    assert set(report["groups"]["all"]) == {"pairs", "tfidf", "embedder", "fused"}
    assert not (work / "checkpoint").exists()
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}

    run = json.loads(command("--anchors", "fused", "--work", str(work)).stdout)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert set(run["groups"]["all"]) == {"pairs", "tfidf", "embedder", "fused", "generator"}
    assert set(run["paired"]["all"]) == {"tfidf", "embedder", "fused"}
    assert run["reading"]["all"]["fused"] is not None
    other = command("--anchors", "embedder", "--work", str(work), "--resume")
    assert "have anchors_by 'fused', not 'embedder'" in other.stderr


def test_a_run_trains_tests_resumes_and_starts_another(command: Callable[..., Result], tmp_path: Path) -> None:
    work, output = tmp_path / "work", tmp_path / "result.json"
    first = command("--work", str(work), "--output", str(output))
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    assert report == json.loads(output.read_text(encoding="utf-8"))
    assert report["training"]["steps"] == 4
    assert report["groups"]["all"]["pairs"] == 12
    assert set(report["groups"]["all"]["generator"]) == {"hr@8", "mrr@8", "within_two_edits@8"}
    assert report["reading"]["all"]["in_source"] > 0
    assert report["targets_without_evidence"]["all"]["pairs"] == 5  # inches that no item of training has
    assert set(report["targets_without_evidence"]["all"]) == {"pairs", "generator"}

    refused = command("--work", str(work))
    assert refused.exit_code == 1
    assert "already has a run; give --resume" in refused.stderr
    other = command("--work", str(work), "--resume", "--held-out-share", "0")
    assert "have held_out_share 0.1, not 0.0" in other.stderr

    resumed = json.loads(command("--work", str(work), "--resume").stdout)
    assert resumed["groups"] == report["groups"]

    # The budgets of the checkpoint are other ones than those of this run.
    adapted = command("--init-from", str(work / "checkpoint"), "--set", "render.text=20")
    assert adapted.exit_code == 0, adapted.output
    assert json.loads(adapted.stdout)["protocol"]["init_from"] == "checkpoint"


def test_what_a_model_has_learnt_is_counted(tmp_path: Path) -> None:
    """With one query for every item, a few steps are enough to know it."""
    lines = [f"{'train' if n < 20 else 'dev'}\t{n}\tRed {THINGS[n % 5]}\tGarden Hose\t3" for n in range(25)]
    settings = (*TINY, "optim.max_steps=100", "optim.learning_rate=0.02", "optim.warmup_steps=1")
    file = write_pairs(tmp_path / "pairs.tsv.gz", lines)
    result = CliRunner().invoke(main, [str(file), *options(settings), "--held-out-share", "0"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    hit = {"mean": 1.0, "interval": [1.0, 1.0]}
    assert report["groups"]["seen"]["generator"] == {"hr@8": hit, "mrr@8": hit, "within_two_edits@8": hit}
    assert report["reading"]["seen"]["generator"] == 1.0


def test_a_checkpoint_with_too_few_positions_is_given_more(command: Callable[..., Result], tmp_path: Path) -> None:
    work, longer = tmp_path / "work", tmp_path / "longer"
    short = ("render.text=20", "render.anchors=30", "render.max_source_tokens=56", "model.max_positions=56")
    assert command("--work", str(work), *options(short)).exit_code == 0
    assert command("--work", str(longer), "--init-from", str(work / "checkpoint")).exit_code == 0
    assert load_checkpoint(longer / "checkpoint").model.config.max_position_embeddings == 114


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--prepare-only"], 2, "--prepare-only needs a folder to write to; give --work"),
        (["--resume"], 2, "--resume needs the folder of the run; give --work"),
        (["--set", "optim.speed=1"], 1, "unknown key optim.speed"),
    ],
)
def test_options_that_cannot_be_used_are_named(
    command: Callable[..., Result], arguments: list[str], status: int, message: str
) -> None:
    result = command(*arguments)
    assert (result.exit_code, message in result.stderr) == (status, True)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(write_pairs(tmp_path / "empty.gz", [])), "--baseline-only"])
    assert result.exit_code == 1
    assert "empty.gz has no positive pair" in result.stderr


def test_the_evidence_of_a_row_is_its_title_and_its_anchors() -> None:
    [row] = example_rows([TitledQuery("red tent", "tent", "1")], [["camping tent"]])
    assert (row["target"], row["title"], row["anchors"]) == ("tent", "red tent", ["camping tent"])
    assert not [name for name in EVIDENCE_COLUMNS if name not in ("title", "anchors") and row[name]]
