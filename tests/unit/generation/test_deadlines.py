"""Deadlines: a search that is cut short returns in time, with its finished hypotheses.

The clock is a number: an encoder pass adds 4 seconds to it, a step 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from generation.beam import WHOLE_QUERY_LOGPROB, BeamSearch
from generation.bundle import load_bundle
from generation.engine import Engine
from generation.inbox import Backlog, Entry
from generation.loop import Loop
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.request import GenerationRequest
from generation.scheduler import Scheduler
from generation.scheduler_stats import Watch
from generation.stepper import Stepper
from tests.unit.generation.gate import SOURCE
from tests.unit.generation.stepper_clock import ENCODE, STEP, Clock, clock

__all__ = ["clock"]

# The tiny model ends some hypotheses of SOURCE early, and none at the first step.
PATIENT = GenerationOptions(max_new_tokens=12, early_stopping="never")


def ask(deadline: float | None) -> GenerationRequest:
    return GenerationRequest(SOURCE, PATIENT, deadline)


@pytest.fixture
def engine(bundle_path: Path, clock: Clock) -> Engine:
    engine = Engine(load_bundle(bundle_path), clock=clock)
    engine.generate(GenerationRequest([0] * 128, PATIENT))  # the first measurements
    clock.now = 0.0
    return engine


@pytest.fixture
def scheduler(bundle_path: Path, clock: Clock) -> Iterator[Scheduler]:
    scheduler = Scheduler(load_bundle(bundle_path), clock=clock)
    clock.now = 0.0
    yield scheduler
    scheduler.close()


def test_a_request_after_its_deadline_is_not_encoded(engine: Engine, clock: Clock) -> None:
    answer = engine.generate(ask(0.0))
    assert answer.deadline_reached
    assert (answer.hypotheses, answer.steps, answer.reject_probability) == ((), 0, 0.0)
    assert clock.now == 0.0


def test_no_encoder_pass_begins_that_would_end_after_the_deadline(engine: Engine, clock: Clock) -> None:
    # A source of 19 tokens is expected to take 57 % of the time of one of 128.
    assert engine.generate(ask(2.2)).steps == 0
    assert clock.now == 0.0


@pytest.mark.parametrize("steps", range(12))
def test_every_answer_is_in_time_and_has_only_finished_hypotheses(engine: Engine, clock: Clock, steps: int) -> None:
    deadline = ENCODE + STEP * steps + 0.5
    answer = engine.generate(ask(deadline))
    assert clock.now <= deadline
    assert answer.steps == 1 + steps
    assert answer.deadline_reached == (steps < 11)
    assert all(hypothesis.finished for hypothesis in answer.hypotheses) or steps == 11
    scores = [hypothesis.score for hypothesis in answer.hypotheses]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("deadline", [99.0, math.inf])
def test_a_late_deadline_does_not_change_the_answer(engine: Engine, deadline: float) -> None:
    answer = engine.generate(ask(deadline))
    assert not answer.deadline_reached
    assert answer.hypotheses == engine.generate(ask(None)).hypotheses


def test_the_scheduler_keeps_deadlines_as_the_engine_does(scheduler: Scheduler, engine: Engine, clock: Clock) -> None:
    for steps in range(12):
        clock.now = 0.0
        deadline = ENCODE + STEP * steps + 0.5
        answer = scheduler.generate(ask(deadline))
        assert clock.now <= deadline
        clock.now = 0.0
        assert answer.hypotheses == engine.generate(ask(deadline)).hypotheses
        assert answer.deadline_reached == (steps < 11)


@pytest.mark.parametrize("deadline", [0.5, -math.inf])
def test_a_request_that_waits_past_its_deadline_is_answered_without_an_encoder_pass(
    scheduler: Scheduler, deadline: float
) -> None:
    answer = scheduler.generate(ask(deadline))
    assert answer.deadline_reached
    assert (answer.hypotheses, answer.steps) == ((), 0)
    assert scheduler.stats().encodes == 0


def test_a_request_waits_if_its_encoding_would_make_an_active_one_late(bundle_path: Path, clock: Clock) -> None:
    """Encoding takes 4 and eleven steps 11: with a second encoding in between, the first request is done at 19."""
    bundle = load_bundle(bundle_path)

    def ends(deadline: float) -> tuple[list[float], list[bool]]:
        backlog = Backlog()
        loop = Loop(Stepper(bundle, 1, 64), backlog, Watch(), Pace(len(SOURCE)), clock)
        loop.warm_up()
        clock.now = 0.0
        entries = [Entry(ask(limit), Future(), 0.0) for limit in (deadline, None)]
        done: list[float] = []
        for entry in entries:
            entry.future.add_done_callback(lambda _: done.append(clock.now))
            backlog.inbox.put(entry)
        while not all(entry.future.done() for entry in entries):
            loop.take_in()
            loop.turn()
        return done, [entry.future.result().deadline_reached for entry in entries]

    assert ends(100.0) == ([19.0, 20.0], [False, False])  # there is time for both
    assert ends(16.0) == ([15.0, 30.0], [False, False])  # the second waits
    assert ends(10.0)[1] == [True, False]  # the first would be late anyway, so the second does not wait for it


def search(width: int, **options: object) -> BeamSearch:
    return BeamSearch(GenerationOptions(num_beams=width, num_return_sequences=width, **options), 2, 2)  # type: ignore[arg-type]


def test_an_open_beam_whose_end_was_likely_is_ended_when_time_is_up() -> None:
    searching = search(2)
    searching.advance([-0.1, -1.0, -3.0, -4.0], [0, 0, 0, 0], [10, 11, 12, 13], [-9.0])
    # The end of the first beam is its third-best continuation: not one of the two that may finish, but likely.
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


def test_a_finished_hypothesis_is_preferred_to_a_forced_one() -> None:
    searching = search(2)
    searching.advance([-0.1, -1.0, -3.0, -4.0], [0, 0, 0, 0], [10, 11, 12, 13], [-1.0])
    searching.advance([-0.8, -1.2, -1.5, -2.0], [0, 0, 1, 1], [20, 2, 21, 22], [-1.1, -9.0])
    (finished,) = searching.forced()
    assert (finished.token_ids, finished.forced) == ((10,), False)
