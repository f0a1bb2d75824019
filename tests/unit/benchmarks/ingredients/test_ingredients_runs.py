"""Runs of the variants: training, figures, resumption, and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from click.testing import CliRunner

from benchmarks.ingredients.__main__ import main
from benchmarks.ingredients.plan import FIGURES, Plan
from benchmarks.ingredients.run import Onebar, learning_curve, run_variants
from benchmarks.ingredients.variants import VARIANTS
from evaluation.errors import InputError
from tests.unit.benchmarks.ingredients.conftest import BY_NAME, TINY


def test_variants_are_trained_measured_and_not_run_again(plan: Plan, onebar: Onebar, calls: list[list[str]]) -> None:
    variants = [BY_NAME[name] for name in ("everything", "stage-0-first", "own-tokenizer")]
    rows = run_variants(variants, plan, 1, onebar)
    assert [words[1] for words in calls] == ["sft", "pretrain", "sft", "tokenizer", "sft"]
    assert [row["variant"] for row in rows] == [variant.name for variant in variants]
    for row in rows:
        assert row["steps"] == 4
        assert set(row["unseen"]) == {"shop3"}
        for figures in (row["own"], *row["unseen"].values()):
            assert set(figures) == {"clicks", *FIGURES}
            assert figures["clicks"] == 8
            assert figures["loss"] > 0
        assert 0 <= row["copy_accuracy"] <= 1
    assert [[point["step"] for point in row["curve"]] for row in rows] == [[2, 4], [6, 8], [2, 4]]

    assert run_variants(variants, plan, 1, onebar) == rows
    assert len(calls) == 5

    # More clicks: the training is finished, so only the figures are new.
    [again] = run_variants(variants[:1], replace(plan, clicks=12), 1, onebar)
    assert (again["unseen"]["shop3"]["clicks"], again["steps"], again["curve"]) == (12, 4, rows[0]["curve"])

    with pytest.raises(InputError, match=r"have minutes 20, not 5"):
        run_variants(variants, replace(plan, minutes=5), 1, onebar)


def test_a_variant_that_fails_has_a_row_and_is_run_again(plan: Plan, onebar: Onebar) -> None:
    def broken(arguments: Sequence[str], log: Path) -> None:
        if "model.copying_start=false" in arguments:
            log.write_text("step 1\nError: the loss is not finite\n\n", encoding="utf-8")
            raise CalledProcessError(1, "onebar")
        onebar(arguments, log)

    variants = [BY_NAME["random-start"], BY_NAME["everything"]]
    rows = run_variants(variants, plan, 1, broken)
    assert rows[0] == {"variant": "random-start", "error": "Error: the loss is not finite"}
    assert rows[1]["steps"] == 4
    assert run_variants(variants[:1], plan, 1, onebar)[0]["steps"] == 4


def test_a_missing_file_is_reported_before_any_training(plan: Plan, onebar: Onebar, calls: list[list[str]]) -> None:
    (plan.unseen[0] / "examples_test.parquet").unlink()
    with pytest.raises(InputError, match=r"shop3/examples_test.parquet is missing"):
        run_variants(VARIANTS, plan, 1, onebar)
    assert not calls


def test_a_learning_curve_has_the_later_of_two_records_of_a_step(tmp_path: Path) -> None:
    found = {"copy_accuracy": 0.5, "mrr@8": 0.1, "loss": 2.0}
    records = [
        {"step": 1, "seconds": 1.0, "loss": 3.0},
        {"step": 2, "seconds": 2.0, "evaluation": {"hr@8": 0.1, **found}},
        {"step": 2, "seconds": 3.0, "evaluation": {"hr@8": 0.2, **found}},
    ]
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    assert learning_curve(tmp_path) == [{"step": 2, "seconds": 3.0, "hr@8": 0.2, **found}]


def test_the_command_trains_in_a_process_of_its_own_and_its_result_can_be_plotted(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = [
        *("run", *map(str, plan.shops), "--unseen", str(plan.unseen[0]), "--tokenizer", str(plan.tokenizer)),
        *("--work", str(plan.work), "--only", "everything", "--clicks", "8", "--every-steps", "2"),
        *(word for setting in TINY for word in ("--set", setting)),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert re.search(r"^\| everything \| 4 \| ", done.stdout, re.MULTILINE)
    result = json.loads((plan.work / "result.json").read_text(encoding="utf-8"))
    assert [found["variant"] for found in result["variants"]] == ["everything"]
    assert str(tmp_path) not in json.dumps(result)
    drawn = CliRunner().invoke(main, ["plot", str(plan.work / "result.json"), str(tmp_path / "out.svg")])
    assert drawn.exit_code == 0, drawn.output
    assert "copy_accuracy everything" in (tmp_path / "out.svg").read_text(encoding="utf-8")


def test_options_that_cannot_be_used_are_named(plan: Plan) -> None:
    shop, tokenizer = str(plan.shops[0]), str(plan.tokenizer)
    common = ["--unseen", shop, "--tokenizer", tokenizer, "--work", str(plan.work)]
    no_logs = CliRunner().invoke(main, ["run", shop, *common, "--only", "own-tokenizer"])
    assert (no_logs.exit_code, "give --logs" in no_logs.stderr) == (2, True)
    twice = CliRunner().invoke(main, ["run", shop, shop, *common])
    assert (twice.exit_code, "two folders of SHOPS have the same name" in twice.stderr) == (2, True)
    unknown = CliRunner().invoke(main, ["run", shop, *common, "--set", "optim.speed=1"])
    assert (unknown.exit_code, "unknown key optim.speed" in unknown.stderr) == (1, True)
