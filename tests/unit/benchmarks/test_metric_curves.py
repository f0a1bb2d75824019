"""Curves of metrics: what is read from metrics.jsonl, and the SVG."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.metric_curves import curve_of, main

RECORDS: list[dict[str, Any]] = [
    {"step": 1, "loss": 3.0},
    {"step": 2, "loss": 2.0},
    {"step": 2, "evaluation": {"copy_accuracy": 0.5, "loss": 2.5}},
    {"step": 4, "evaluation": {"copy_accuracy": 0.7}},
]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_a_metric_of_evaluations_has_a_point_for_each_evaluation() -> None:
    assert curve_of(RECORDS, "copy_accuracy") == [(2, 0.5), (4, 0.7)]


def test_the_later_record_of_a_step_counts() -> None:
    again = {"step": 2, "evaluation": {"copy_accuracy": 0.6}}
    assert curve_of([*RECORDS, again], "copy_accuracy") == [(2, 0.6), (4, 0.7)]


def test_the_plot_has_a_line_for_each_run_and_is_the_same_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    runs = [part for name in ("one", "two") for part in ("--run", name, str(write(tmp_path / name, RECORDS)))]
    for name in ("a.svg", "b.svg"):
        done = CliRunner().invoke(main, ["copy_accuracy", str(tmp_path / name), *runs])
        assert done.exit_code == 0, done.output
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert re.findall(r'<g id="(one|two)"', drawn) == ["one", "two"]
    assert ">copy accuracy</text>" in drawn
    assert (tmp_path / "b.svg").read_text(encoding="utf-8") == drawn


def test_a_run_without_the_metric_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "metrics.jsonl", RECORDS)
    done = CliRunner().invoke(main, ["speed", str(tmp_path / "out.svg"), "--run", "one", str(path)])
    assert (done.exit_code, "has no speed" in done.stderr) == (1, True)
