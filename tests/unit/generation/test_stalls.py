"""After a stall: one long encoder pass or step must not make forecasts rule out all later work.

The clock is a number: an encoder pass adds 4 to it, a step 1, and a stall what the test says. A request has 25.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from generation.bundle import load_bundle
from generation.engine import Engine
from generation.options import GenerationOptions
from generation.pace import STALE_AFTER, Pace
from generation.request import GenerationRequest
from generation.results import Generation
from generation.scheduler import Scheduler
from tests.unit.generation.gate import SOURCE
from tests.unit.generation.stepper_clock import Clock, clock

__all__ = ["clock"]

OPTIONS = GenerationOptions(max_new_tokens=8, early_stopping="never")
BUDGET = 25.0


@pytest.fixture(params=["engine", "scheduler"])
def runs(request: pytest.FixtureRequest, bundle_path: Path, clock: Clock) -> Iterator[Engine | Scheduler]:
    bundle = load_bundle(bundle_path)
    if request.param == "engine":
        engine = Engine(bundle, clock=clock)
        engine.warm_up()
        yield engine
    else:
        scheduler = Scheduler(bundle, clock=clock)
        yield scheduler
        scheduler.close()


def ask(runs: Engine | Scheduler, clock: Clock, seconds: float = BUDGET) -> Generation:
    return runs.generate(GenerationRequest(SOURCE, OPTIONS, clock.now + seconds))


@pytest.mark.parametrize("stall", [50.0, 300.0, 30_000.0])
def test_answers_are_whole_again_after_an_encoder_pass_that_stalled(
    runs: Engine | Scheduler, clock: Clock, stall: float
) -> None:
    assert not ask(runs, clock).deadline_reached
    clock.encode_stall = stall
    assert ask(runs, clock).deadline_reached
    answers = [ask(runs, clock) for _ in range(3 * STALE_AFTER)]
    assert [answer.deadline_reached for answer in answers[STALE_AFTER:]] == [False] * 2 * STALE_AFTER


@pytest.mark.parametrize("stall", [50.0, 300.0, 30_000.0])
def test_answers_are_whole_again_after_a_step_that_stalled(
    runs: Engine | Scheduler, clock: Clock, stall: float
) -> None:
    assert not ask(runs, clock).deadline_reached
    clock.step_stall = stall
    assert ask(runs, clock).deadline_reached
    answers = [ask(runs, clock) for _ in range(20 + STALE_AFTER)]
    assert not any(answer.deadline_reached for answer in answers[20:])


def test_deadlines_shorter_than_every_measurement_do_not_make_forecasts_stale(
    runs: Engine | Scheduler, clock: Clock
) -> None:
    """Otherwise a client with impossible deadlines would cause encoder passes that cannot lead to an answer."""
    before = clock.now
    for _ in range(10 * STALE_AFTER):
        assert ask(runs, clock, seconds=1.0).steps == 0
    assert clock.now == before


def test_a_stale_forecast_is_the_fastest_measurement_until_the_next_one_replaces_it() -> None:
    pace = Pace(longest_source=100)
    for seconds in (2.0, 1.0, 90.0):
        pace.encoded(100, seconds)
        pace.stepped(1, seconds)
    assert min(pace.encoding(100).mean, pace.stepping(1).mean) > 2.0
    for _ in range(STALE_AFTER):
        pace.encoding_ruled_out(100, seconds_left=5.0)
        pace.step_ruled_out(seconds_left=5.0)
    assert (pace.encoding(100).cautious, pace.encoding(50).cautious, pace.stepping(1).cautious) == (1.0, 0.75, 1.0)
    pace.encoded(100, 3.0)
    pace.stepped(1, 3.0)
    assert (pace.encoding(100).cautious, pace.stepping(1).cautious) == pytest.approx((3.0, 3.0))
