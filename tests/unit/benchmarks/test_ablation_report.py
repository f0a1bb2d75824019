"""The report of the ablations, of prepared answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.ablations.answers import VIEWS, Measured, write_answers
from benchmarks.ablations.facts import FACTS, RESULT, Workplace, run_facts
from benchmarks.ablations.plan import (
    plan_runs,
    run_folder,
    select_parts,
)
from benchmarks.ablations.report import SMOKE, write_report
from benchmarks.ablations.results import Results
from benchmarks.ablations.variants import PARTS
from evaluation.metrics import score_all
from service.page.reports.readers import read_report
from tests.fixtures.ablation_shop import make_config, write_curve, write_inputs
from training.checkpoint import write_json

HEAD = {
    "commit": "abc1234",
    "machine": {"cpu": "a processor", "cores": 2},
    "versions": {"python": "3.11", "torch": "2"},
}


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(make_config(write_inputs(tmp_path)), tmp_path / "work")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A place with answers to ten clicks of most runs, as if they had been done."""
    inputs = write_inputs(tmp_path_factory.mktemp("prepared"))
    place = Workplace(make_config(inputs), inputs / "work")
    targets = [example.target for example in place.clicks]
    for run in plan_runs(place.config):
        if run.group in ("objective-ckd", "stage-3-without-2", "lists", "prompts"):
            continue
        folder = run_folder(place.work, run.name)
        hits = 4 + 2 * run.group.startswith("stage-3") + run.seed % 2
        predictions = [["no", target] if place < hits else ["no"] for place, target in enumerate(targets)]
        found = Measured(predictions, score_all(predictions, targets), np.full(10, 0.5))
        known = {
            "baselines": ["ANN", "MCA"],
            "teachers": ["append", "histories", "random", "masked_random"],
        }
        write_curve(folder / "checkpoint", 1 + run.seed / 10)
        write_answers(
            folder / "answers.parquet", {name: dict.fromkeys(VIEWS, found) for name in known.get(run.group, [run.name])}
        )
        result = {
            "run": run.name, "overrides": list(run.overrides), "measured_on": place.measured_on, "commit": "abc",
            "cpu": "a processor", "training": {"steps": 2}, "measuring_seconds": 1.0,
        }  # fmt: skip
        (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")
    for run in plan_runs(place.config):  # when all starts are there, of which the facts have hashes
        if (folder := run_folder(place.work, run.name)).is_dir():
            write_json(folder / FACTS, run_facts(run, place))
    return place


@pytest.fixture(scope="module")
def report_folder(prepared: Workplace) -> Path:
    pytest.importorskip("matplotlib")
    return write_report(prepared, plan_runs(prepared.config), PARTS, HEAD).parent


def lines_of(report: str, title: str) -> list[str]:
    section = report.split(f"## {title}")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")]


def test_the_report_is_of_what_is_finished_and_names_what_is_missing(report_folder: Path) -> None:
    report = (report_folder / "report.md").read_text(encoding="utf-8")
    missing = "stage-3-without-2-1, stage-3-without-2-2, objective-ckd-1, objective-ckd-2, prompts"
    assert f"**5 runs are missing:** {missing}." in report
    assert "abc1234" in report
    assert "seeds:\n- 1\n- 2\n" in report
    table = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines_of(report, "Table 6: divergence")}
    assert table["CKD"][:3] == [" 0 ", "  ", "  "]
    # Seeds 1 and 2 hit seven and six of ten clicks; the other objectives five and four.
    assert table["FKL + RKL"][1].startswith(" 0.650 (")
    assert table["FKL"][3].startswith(" -0.200 (-0.")
    assert table["FKL"][-3:] == [" 0.3662 ", " 0.2406 ", " FKL + RKL "]
    assert lines_of(report, "Table 3: paired differences")[2].startswith("| Stage III − ANN | +0.250 (")
    assert lines_of(report, "Figure 4")[-1].startswith("| 2 | 0.9000 | 0.6900 |")
    assert lines_of(report, "Figure 6")[2].startswith("| 1 | 0.000 (")


def test_the_report_leaves_csv_svg_and_a_report_for_the_page(report_folder: Path) -> None:
    folder = report_folder
    parts = {"table3-decontaminated", "table3-as_served", "table3-differences", "table5", "runs", *PARTS} - {"table3"}
    figures = {part for part in PARTS if part.startswith("figure")}
    assert {path.stem for path in folder.glob("*.csv")} == parts
    assert {path.stem for path in folder.glob("*.svg")} == figures
    first = (folder / "table6-support.csv").read_text(encoding="utf-8").splitlines()
    assert first[0].startswith('variant,seeds,"HR@8, decontaminated","HR@8, decontaminated low"')
    assert first[1].startswith("top 16,2,0.45,")
    assert ">student entropy</text>" in (folder / "figure4.svg").read_text(encoding="utf-8")
    assert ">+ Stage III</text>" in (folder / "figure6.svg").read_text(encoding="utf-8")
    shown = read_report(json.loads((folder / "report.json").read_text(encoding="utf-8")), "report")
    assert shown.title == "Ablations, tiny"
    assert [table.title for table in shown.tables][:2] == [
        "Table 3: all systems, decontaminated",
        "Table 3: all systems, as served",
    ]
    assert {bar.label for bar in shown.plots[0].bars} >= {"ANN", "MCA", "Stage I", "+ Stage III"}


def test_a_report_of_one_part_has_only_this_part(prepared: Workplace, tmp_path: Path) -> None:
    alone = Workplace(prepared.config, shutil.copytree(prepared.work, tmp_path / "work"))
    path = write_report(alone, plan_runs(alone.config), select_parts(["table5"]), HEAD)
    report = path.read_text(encoding="utf-8")
    titles = [line for line in report.splitlines() if line.startswith("## ")]
    assert titles == ["## Table 5: the teacher by construction of its source", "## Finished runs", "## Configuration"]
    assert "missing" not in report


def test_a_smoke_test_says_so_everywhere(prepared: Workplace, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    config = prepared.config.model_copy(update={"smoke": True})
    smoke = Workplace(config, shutil.copytree(prepared.work, tmp_path / "work"))
    report = write_report(smoke, plan_runs(config), ["figure6"], HEAD)
    assert SMOKE in report.read_text(encoding="utf-8")
    assert "SMOKE TEST" in (report.parent / "figure6.svg").read_text(encoding="utf-8")
    assert json.loads((report.parent / "report.json").read_text(encoding="utf-8"))["note"].startswith(SMOKE)


def test_without_a_finished_run_the_report_has_no_table(place: Workplace) -> None:
    report = write_report(place, plan_runs(place.config), PARTS, HEAD).read_text(encoding="utf-8")
    assert [line for line in report.splitlines() if line.startswith("## ")] == ["## Configuration"]
    assert yaml.safe_load(report.split("```yaml")[1].split("```")[0])["name"] == "tiny"
    assert len(Results(place, plan_runs(place.config)).missing) == len(plan_runs(place.config))
