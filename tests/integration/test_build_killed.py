"""`onebar offline build` ends with the same files if it is killed by SIGKILL at random points and run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.build_kills import build, contents, outcome_at, points_of
from cli.main import main
from offline.build.manifest import read_manifest

OPTIONS = ("--hashed", "--examples")
SIZES = ("--videos", "300", "--users", "60", "--days", "4", "--impressions-per-day", "400")
POINTS = 2


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The logs of a small simulated shop."""
    folder = tmp_path_factory.mktemp("world") / "logs"
    made = CliRunner().invoke(main, ["world", str(folder), *SIZES])
    assert made.exit_code == 0, made.output
    return folder


@pytest.mark.slow
def test_a_build_that_was_killed_ends_as_an_undisturbed_one(logs: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    build(logs, whole, OPTIONS)
    wanted = contents(whole)
    assert len(wanted) == 8
    points = points_of(read_manifest(whole), POINTS, seed=3)
    outcomes = [outcome_at(logs, tmp_path / str(n), OPTIONS, point, wanted) for n, point in enumerate(points)]
    assert [outcome.differing for outcome in outcomes] == [()] * POINTS
    assert any(outcome.was_killed for outcome in outcomes)
    for outcome in outcomes:
        steps = list(read_manifest(whole))
        done = steps[: steps.index(outcome.point.step)]
        assert set(done) <= set(outcome.skipped)  # what was finished before the point was not done twice
