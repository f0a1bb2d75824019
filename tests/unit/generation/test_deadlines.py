"""Anytime answers: what comes back when the deadline comes first, and that it comes back in time.

The clock is a number that a fake stepper moves on: encoding takes 4 seconds, a step 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from generation.beam import WHOLE_QUERY_LOGPROB, BeamSearch
from generation.bundle import load_bundle
from generation.engine import Engine
from generation.inbox import Inbox, Request
from generation.loop import Loop
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.scheduler import Scheduler
from generation.scheduler_stats import Watch
from generation.stepper import Stepper

# The tiny model ends some of this source's hypotheses early, and none at the first step.
SOURCE = [0, 165, 198, 279, 221, 120, 5, 194, 40, 25, 213, 5, 194, 5, 77, 54, 126, 5, 2]
PATIENT = GenerationOptions(max_new_tokens=12, early_stopping="never")
ENCODE, STEP = 4.0, 1.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still but for encoding and stepping."""
    clock = Clock()
    begin, step = Stepper.begin, Stepper.step

    def slow_begin(self: Stepper, *request: object) -> object:
        clock.now += ENCODE
        return begin(self, *request)  # type: ignore[arg-type]

    def slow_step(self: Stepper) -> None:
        clock.now += STEP
        step(self)

    monkeypatch.setattr(Stepper, "begin", slow_begin)
    monkeypatch.setattr(Stepper, "step", slow_step)
    return clock


@pytest.fixture
def engine(bundle_path: Path, clock: Clock) -> Engine:
    engine = Engine(load_bundle(bundle_path), clock=clock)
    engine.generate([0] * 128, PATIENT)  # by now it knows how long things take
    clock.now = 0.0
    return engine


@pytest.fixture
def scheduler(bundle_path: Path, clock: Clock) -> Iterator[Scheduler]:
    scheduler = Scheduler(load_bundle(bundle_path), clock=clock)
    clock.now = 0.0
    yield scheduler
    scheduler.close()


def test_a_deadline_that_has_passed_costs_nothing(engine: Engine, clock: Clock) -> None:
    answer = engine.generate(SOURCE, deadline=0.0)
    assert answer.deadline_reached
    assert (answer.hypotheses, answer.steps, answer.reject_probability) == ((), 0, 0.0)
    assert clock.now == 0.0


def test_nothing_is_begun_that_would_end_too_late(engine: Engine, clock: Clock) -> None:
    # A source of 19 tokens is expected to take 57 % of the time of one of 128.
    assert engine.generate(SOURCE, deadline=2.2).steps == 0
    assert clock.now == 0.0


@pytest.mark.parametrize("steps", range(12))
def test_every_answer_is_in_time_and_of_finished_hypotheses(engine: Engine, clock: Clock, steps: int) -> None:
    deadline = ENCODE + STEP * steps + 0.5
    answer = engine.generate(SOURCE, PATIENT, deadline=deadline)
    assert clock.now <= deadline
    assert answer.steps == 1 + steps
    assert answer.deadline_reached == (steps < 11)
    assert all(hypothesis.finished for hypothesis in answer.hypotheses) or steps == 11
    scores = [hypothesis.score for hypothesis in answer.hypotheses]
    assert scores == sorted(scores, reverse=True)


def test_a_deadline_that_is_far_changes_nothing(engine: Engine) -> None:
    answer = engine.generate(SOURCE, PATIENT, deadline=99.0)
    assert not answer.deadline_reached
    assert answer.hypotheses == engine.generate(SOURCE, PATIENT).hypotheses


def test_the_scheduler_keeps_deadlines_as_the_engine_does(scheduler: Scheduler, engine: Engine, clock: Clock) -> None:
    for steps in range(12):
        clock.now = 0.0
        deadline = ENCODE + STEP * steps + 0.5
        answer = scheduler.generate(SOURCE, PATIENT, deadline)
        assert clock.now <= deadline
        clock.now = 0.0
        assert answer.hypotheses == engine.generate(SOURCE, PATIENT, deadline).hypotheses
        assert answer.deadline_reached == (steps < 11)


def test_who_waits_too_long_is_answered_without_being_begun(scheduler: Scheduler) -> None:
    answer = scheduler.generate(SOURCE, PATIENT, deadline=0.5)
    assert answer.deadline_reached
    assert (answer.hypotheses, answer.steps) == ((), 0)
    assert scheduler.stats().encodes == 0


def test_nobody_is_begun_at_the_cost_of_those_who_are_on_their_way(bundle_path: Path, clock: Clock) -> None:
    """Encoding takes 4 and eleven steps 11: beside a newcomer's encoding the first would be done at 19."""
    bundle = load_bundle(bundle_path)

    def ends(deadline: float) -> tuple[list[float], list[bool]]:
        inbox = Inbox()
        loop = Loop(Stepper(bundle, 1, 64), inbox, Watch(None), Pace(len(SOURCE)), clock)
        loop.warm_up()
        clock.now = 0.0
        requests = [Request(SOURCE, PATIENT, limit, (), Future(), 0.0) for limit in (deadline, None)]
        done: list[float] = []
        for request in requests:
            request.future.add_done_callback(lambda _: done.append(clock.now))
            inbox.put(request)
        while not all(request.future.done() for request in requests):
            loop.take_in()
            loop.turn()
        return done, [request.future.result().deadline_reached for request in requests]

    assert ends(100.0) == ([19.0, 20.0], [False, False])  # there is time for both
    assert ends(16.0) == ([15.0, 30.0], [False, False])  # the second waits
    assert ends(10.0)[1] == [True, False]  # the first cannot be whole anyhow, and holds nobody up


def search(width: int, **options: object) -> BeamSearch:
    return BeamSearch(GenerationOptions(num_beams=width, num_return_sequences=width, **options), 2, 2)  # type: ignore[arg-type]


def test_an_open_beam_whose_end_was_likely_is_ended_when_time_is_up() -> None:
    searching = search(2)
    searching.advance([-0.1, -1.0, -3.0, -4.0], [0, 0, 0, 0], [10, 11, 12, 13], [-9.0])
    # The end of the first beam is its third-best continuation: not among the two that may finish, but likely.
    searching.advance([-0.8, -1.2, -1.5, -2.0], [0, 0, 0, 1], [20, 21, 2, 22], [-1.4, -9.0])
    (forced,) = searching.forced()
    assert (forced.token_ids, forced.finished, forced.forced) == ((10,), True, True)
    assert forced.sum_logprobs == pytest.approx(-1.5)
    assert forced.score == pytest.approx(-1.5 / 2)
    assert searching.hypotheses() == ()


def test_an_end_that_was_unlikely_is_not_forced() -> None:
    searching = search(2)
    searching.advance([-0.1, -1.0, -3.0, -4.0], [0, 0, 0, 0], [10, 11, 12, 13], [WHOLE_QUERY_LOGPROB - 0.01])
    assert searching.forced() == ()


def test_what_finished_by_itself_is_preferred_to_what_is_forced() -> None:
    searching = search(2)
    searching.advance([-0.1, -1.0, -3.0, -4.0], [0, 0, 0, 0], [10, 11, 12, 13], [-1.0])
    searching.advance([-0.8, -1.2, -1.5, -2.0], [0, 0, 1, 1], [20, 2, 21, 22], [-1.1, -9.0])
    (finished,) = searching.forced()
    assert (finished.token_ids, finished.forced) == ((10,), False)
