"""A refresh exports the days before once more, whose feedback could still come when they were exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refresh.errors import StepError
from refresh.run import plan
from tests.unit.refresh.days import SETTINGS, SHORT, calls, run, settings

pytestmark = pytest.mark.usefixtures("shop")

EVENTS: dict[str, Any] = SHORT | {"events": SETTINGS["events"]}


def exported(folder: Path) -> list[int]:
    """Return the days that were exported, in their order."""
    arguments = [call["argv"] for call in calls(folder) if call["step"] == "events"]
    assert all("--keep-rows" in argv for argv in arguments)
    return [int(argv[argv.index("--day") + 1]) for argv in arguments]


def test_the_day_before_is_exported_again_before_the_examples_are_made(tmp_path: Path) -> None:
    config = settings(tmp_path, **EVENTS)
    run(config)
    yesterday = tmp_path / "state/days/day-00012"
    finished = {path: path.read_bytes() for path in yesterday.rglob("*") if path.is_file()}
    (tmp_path / "last_day").write_text("13")
    assert [step.name for step in plan(config, 13)][:3] == ["events-1", "events", "build"]
    record = run(config, 13)
    assert exported(tmp_path) == [12, 12, 13]
    assert list(record.seconds)[:3] == ["events-1", "events", "build"]
    assert record.events is not None
    assert record.events["day"] == 13
    assert {day: report["day"] for day, report in record.late_events.items()} == {"12": 12}
    assert {path: path.read_bytes() for path in finished} == finished
    assert run(config).outcome == "promoted"
    assert exported(tmp_path) == [12, 12, 13]


def test_a_refresh_that_goes_on_exports_each_day_once(tmp_path: Path) -> None:
    config = settings(tmp_path, **EVENTS)
    run(config)
    (tmp_path / "last_day").write_text("13")
    (tmp_path / "fail").write_text("sft")
    with pytest.raises(StepError):
        run(config, 13)
    (tmp_path / "fail").unlink()
    (tmp_path / "state/days/day-00012/journal.json").unlink()  # what was there when the day began counts
    assert run(config, 13).outcome == "promoted"
    assert exported(tmp_path) == [12, 12, 13]


def test_a_longer_window_goes_further_back(tmp_path: Path) -> None:
    config = settings(tmp_path, **(EVENTS | {"events": SETTINGS["events"] | {"window_hours": 25}}))
    run(config, 12)
    (tmp_path / "last_day").write_text("14")
    run(config, 14)  # nobody has exported day 13
    (tmp_path / "last_day").write_text("15")
    run(config, 15)
    assert exported(tmp_path) == [12, 12, 14, 14, 15]
    assert json.loads((tmp_path / "state/days/day-00014/journal.json").read_text())["late"] == [12]


def test_an_increment_lets_the_day_before_change(tmp_path: Path) -> None:
    config = settings(tmp_path, embedder="build", **EVENTS)
    build = tmp_path / "state/build"
    (build / "embedder").mkdir(parents=True)
    (build / "embedder/embedder.json").write_text('{"version": "static-1"}')
    manifest = {"model_version": "first", "embedder": {"kind": "static", "version": "static-1"}}
    (tmp_path / "first/bundle/manifest.json").write_text(json.dumps(manifest))
    run(config)
    [step] = [step for step in plan(config, 13) if step.name == "build"]
    assert step.command[-2:] == ("--since", "12")
