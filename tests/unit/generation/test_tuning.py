from __future__ import annotations

from pathlib import Path

import pytest

from generation import tuning
from generation.backend import open_sessions
from generation.bundle import load_bundle
from generation.engine import Engine
from generation.lane import LaneShape
from generation.request import GenerationRequest
from generation.scheduler import Scheduler
from tests.unit.generation.gate import SOURCE


@pytest.mark.parametrize(("microseconds", "best"), [([9, 9, 8, 8, 9], 4), ([5, 6, 7, 8, 9], 1), ([9, 8, 7, 6, 5], 16)])
def test_the_number_with_the_shortest_time_for_each_request_is_chosen(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch, microseconds: list[int], best: int
) -> None:
    each = dict(zip((1, 2, 4, 8, 16), microseconds, strict=True))
    monkeypatch.setattr(tuning, "_step_seconds", lambda *given: given[-1] * each[given[-1]] * 1e-6)
    bundle = load_bundle(bundle_path)
    _, session = open_sessions(bundle, 1, "auto")
    assert tuning.requests_together(session, bundle.architecture, LaneShape(8, 12, 96), most=20) == best


def test_the_chosen_number_is_one_of_the_measured_ones(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    shape = LaneShape(num_beams=8, positions=12, source_tokens=96)
    _, session = open_sessions(bundle, 1, "auto")
    assert tuning.requests_together(session, bundle.architecture, shape, most=5) in (1, 2, 4)


@pytest.mark.parametrize("together", [1, 2, 3, 5])
def test_answers_do_not_depend_on_the_number_of_requests_together(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    bundle = load_bundle(bundle_path)
    request = GenerationRequest(SOURCE, bundle.generation)
    expected = Engine(bundle).generate(request).hypotheses
    monkeypatch.setattr("generation.stepper.requests_together", lambda *_: together)
    scheduler = Scheduler(bundle)
    futures = [scheduler.submit_future(request) for _ in range(7)]
    assert [future.result(timeout=30).hypotheses for future in futures] == [expected] * 7
    scheduler.close()
