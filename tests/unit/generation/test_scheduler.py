"""The loop: who is answered, with what, and what happens to the others when one is cancelled, fails, or all do."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation.bundle import Bundle, load_bundle
from generation.engine import Engine
from generation.errors import OptionsError, RequestFailed, SchedulerStopped, SourceError
from generation.lane import Lane
from generation.logits_processors import Restriction
from generation.options import GenerationOptions
from generation.scheduler import Scheduler
from generation.scheduler_stats import Outcome
from generation.stepper import MAX_IDLE_LANES, Stepper
from tests.fixtures.tiny_bundle import build_tiny_bundle

SOURCE = [0, 165, 198, 279, 221, 120, 5, 194, 40, 25, 213, 5, 194, 5, 77, 54, 126, 5, 2]
LONG = GenerationOptions(
    max_new_tokens=40, min_new_tokens=39, early_stopping="never", num_beams=4, num_return_sequences=4
)
SHORT = GenerationOptions(max_new_tokens=2, num_beams=4, num_return_sequences=4)


@pytest.fixture(scope="module")
def bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path)


class Gate:
    """Lets the loop make one step at a time, so that a test knows where it stands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._permits = threading.Semaphore(0)
        self._arrived = threading.Semaphore(0)
        self._open = True
        self.requests: list[int] = []  # how many each step moved on
        step = Stepper.step

        def gated(stepper: Stepper) -> None:
            if not self._open:
                self._arrived.release()
                assert self._permits.acquire(timeout=30)
                self.requests.append(stepper.requests)
            step(stepper)

        monkeypatch.setattr(Stepper, "step", gated)

    def close(self) -> None:
        self._open = False

    def wait(self) -> None:
        """Return when the loop is about to step."""
        assert self._arrived.acquire(timeout=30)

    def step(self, count: int = 1) -> None:
        """Let the step go at which the loop stands, and wait for the next one; so many times."""
        for _ in range(count):
            self._permits.release()
            self.wait()

    def open(self) -> None:
        self._open = True
        self._permits.release()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


@pytest.fixture
def scheduler(gate: Gate, bundle: Bundle) -> Iterator[Scheduler]:
    scheduler = Scheduler(bundle, row_budget=12)
    yield scheduler
    gate.open()
    scheduler.close()


class Failing:
    """A constraint that raises at a given length."""

    def __init__(self, length: int) -> None:
        self._length = length

    def begin(self) -> int:
        return 0

    def follow(self, states: Sequence[int], beam_indices: Sequence[int], tokens: Sequence[int]) -> Sequence[int]:
        return [states[beam] + 1 for beam in beam_indices]

    def restrict(self, states: Sequence[int]) -> Sequence[Restriction]:
        if states[0] == self._length:
            raise ZeroDivisionError("poison")
        return [None] * len(states)


async def test_answers_are_those_of_the_engine(scheduler: Scheduler, bundle: Bundle) -> None:
    found = await scheduler.submit(SOURCE)
    expected = Engine(bundle).generate(SOURCE)
    assert found.hypotheses == expected.hypotheses
    assert found.reject_probability == expected.reject_probability
    assert not found.deadline_reached


def test_what_cannot_be_answered_is_refused_before_it_is_queued(scheduler: Scheduler) -> None:
    with pytest.raises(SourceError):
        scheduler.submit_future([])
    with pytest.raises(OptionsError):
        scheduler.submit_future(SOURCE, GenerationOptions(max_new_tokens=200))
    assert scheduler.waiting == 0


def test_newcomers_join_and_the_finished_leave_between_steps(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    first = scheduler.submit_future(SOURCE, LONG)
    gate.wait()
    second = scheduler.submit_future(SOURCE, SHORT)
    gate.step(3)
    assert gate.requests == [1, 2, 1]
    assert second.result(timeout=30).steps == 2
    assert not first.done()


def test_the_row_budget_holds_and_the_first_to_come_is_the_first_to_join(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    futures = [scheduler.submit_future(SOURCE, LONG)]
    gate.wait()
    futures += [scheduler.submit_future(SOURCE, LONG) for _ in range(4)]
    gate.step(5)
    assert gate.requests == [1, 2, 3, 3, 3]  # one joins at a time; 12 rows hold three
    assert (scheduler.active, scheduler.waiting) == (3, 2)
    assert scheduler.stats().rows == 12
    futures[1].cancel()
    gate.step(1)
    futures[3].cancel()  # it took the place
    gate.step(2)
    assert gate.requests[5:] == [3, 3, 3]
    assert (scheduler.active, scheduler.waiting) == (3, 0)


def test_a_request_wider_than_the_budget_still_gets_its_turn(scheduler: Scheduler) -> None:
    assert len(scheduler.generate(SOURCE, GenerationOptions(num_beams=16, num_return_sequences=16)).hypotheses) == 16


async def test_a_cancelled_coroutine_frees_its_rows_before_the_next_step(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    stays = asyncio.create_task(scheduler.submit(SOURCE, LONG))
    leaves = asyncio.create_task(scheduler.submit(SOURCE, LONG))
    await asyncio.to_thread(gate.wait)
    await asyncio.to_thread(gate.step)
    assert scheduler.active == 2
    leaves.cancel()
    await asyncio.wait([leaves])
    await asyncio.to_thread(gate.step, 2)
    assert gate.requests[-1] == 1
    assert scheduler.stats().rows == 4
    gate.open()
    assert len((await stays).hypotheses) == 4
    assert scheduler.stats().cancelled == 1


def test_a_request_that_is_cancelled_while_it_waits_is_never_encoded(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    scheduler.submit_future(SOURCE, LONG)
    gate.wait()
    cancelled = scheduler.submit_future(SOURCE, LONG)
    cancelled.cancel()
    encodes = scheduler.stats().encodes
    gate.step(2)
    assert wait([cancelled], timeout=30).done == {cancelled}  # those who wait for it are told
    assert scheduler.stats().encodes == encodes
    assert gate.requests == [1, 1]


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_failing_request_fails_alone(scheduler: Scheduler, bundle: Bundle, length: int) -> None:
    options = GenerationOptions(max_new_tokens=10, min_new_tokens=6, num_beams=4, num_return_sequences=4)
    healthy = [scheduler.submit_future(SOURCE, options) for _ in range(2)]
    poisoned = scheduler.submit_future(SOURCE, options, None, (Failing(length),))
    healthy.append(scheduler.submit_future(SOURCE, options))
    with pytest.raises(RequestFailed, match="poison") as caught:
        poisoned.result(timeout=30)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    expected = Engine(bundle).generate(SOURCE, options).hypotheses
    assert [future.result(timeout=30).hypotheses for future in healthy] == [expected] * 3
    assert scheduler.alive
    assert scheduler.stats().failed == 1


def test_a_step_that_fails_for_all_is_retried_one_by_one(
    scheduler: Scheduler, gate: Gate, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Lane._run
    batches: list[int] = []

    def refuses_batches(lane: Lane, arrays: object, slot: int, count: int, logprobs: bool) -> None:
        if count > 1:
            batches.append(count)
            raise MemoryError("no memory for so many")
        run(lane, arrays, slot, count, logprobs)  # type: ignore[arg-type]

    monkeypatch.setattr(Lane, "_run", refuses_batches)
    scheduler._loop.stepper._together = 3  # whatever this machine prefers
    gate.close()
    first = scheduler.submit_future(SOURCE, SHORT)
    gate.wait()
    others = [scheduler.submit_future(SOURCE, LONG) for _ in range(2)]
    gate.step(3)
    gate.open()
    expected = Engine(bundle)
    assert first.result(30).hypotheses == expected.generate(SOURCE, SHORT).hypotheses
    assert [other.result(30).hypotheses for other in others] == [expected.generate(SOURCE, LONG).hypotheses] * 2
    assert batches


def test_a_slot_that_held_what_is_no_number_is_clean_for_the_next(tmp_path: Path) -> None:
    engine = Engine(load_bundle(build_tiny_bundle(tmp_path / "fp32", seed=1, precision="fp32")))
    expected = engine.generate(SOURCE, LONG).hypotheses
    lane = next(iter(engine._stepper._lanes.values()))
    for memory in lane._cache.values():
        memory[...] = np.nan
    with pytest.raises(RequestFailed, match="not a number"):
        engine.generate(SOURCE, LONG)
    assert engine.generate(SOURCE, LONG).hypotheses == expected


def test_lanes_that_nobody_uses_give_their_memory_back(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[Lane] = weakref.WeakSet()
    init = Lane.__init__

    def remembered(lane: Lane, *given: Any, **named: Any) -> None:
        alive.add(lane)
        init(lane, *given, **named)

    monkeypatch.setattr(Lane, "__init__", remembered)
    engine = Engine(bundle)
    for longest in range(4, 64, 4):
        engine.generate(SOURCE, GenerationOptions(max_new_tokens=longest))
    assert len(alive) == MAX_IDLE_LANES  # at once: not when the garbage collector comes by


def test_a_dead_loop_fails_everyone_and_readiness(
    scheduler: Scheduler, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate.close()
    stepped = scheduler.submit_future(SOURCE, LONG)
    gate.wait()
    waits = scheduler.submit_future(SOURCE, LONG)
    monkeypatch.setattr(Stepper, "step", lambda _: (_ for _ in ()).throw(SystemExit))
    gate.open()
    for future in (stepped, waits):
        with pytest.raises(SchedulerStopped):
            future.result(timeout=30)
    scheduler._thread.join(timeout=30)
    assert not scheduler.alive
    assert "the generation loop has died" in caplog.text
    with pytest.raises(SchedulerStopped):
        scheduler.submit_future(SOURCE)


def test_a_loop_that_dies_while_it_encodes_fails_the_one_that_it_encoded(
    scheduler: Scheduler, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stepper, "begin", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SchedulerStopped):
        scheduler.submit_future(SOURCE).result(timeout=30)


def test_closing_drains_what_is_in(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    futures = [scheduler.submit_future(SOURCE, SHORT) for _ in range(5)]
    gate.wait()
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    gate.open()
    closing.join(timeout=30)
    assert [len(future.result(timeout=0).hypotheses) for future in futures] == [4] * 5
    assert not scheduler.alive


def test_a_drain_that_takes_too_long_is_given_up(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    future = scheduler.submit_future(SOURCE, LONG)
    gate.wait()
    closing = threading.Thread(target=scheduler.close, args=(0.0,))
    closing.start()
    gate.open()
    closing.join(timeout=30)
    with pytest.raises(SchedulerStopped):
        future.result(timeout=0)


def test_an_observer_is_told_and_its_failures_do_no_harm(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[object, ...]] = []

    class Observer:
        def started(self, queue_seconds: float) -> None:
            told.append(("started", queue_seconds >= 0))

        def encoded(self, source_tokens: int, seconds: float) -> None:
            told.append(("encoded", source_tokens))

        def stepped(self, requests: int, rows: int, seconds: float) -> None:
            told.append(("stepped", requests, rows))

        def ended(self, outcome: Outcome) -> None:
            told.append(("ended", outcome))
            raise RuntimeError("a broken counter")

    scheduler = Scheduler(bundle, observer=Observer())
    assert scheduler.generate(SOURCE, SHORT).steps == 2
    scheduler.close()
    assert told == [("started", True), ("encoded", len(SOURCE)), ("stepped", 1, 4), ("ended", "finished")]
    assert "a broken counter" in caplog.text


def test_a_longer_queue_is_expected_to_take_longer(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    idle = scheduler.expected_seconds(len(SOURCE), SHORT)
    assert idle > 0.0
    assert scheduler.expected_seconds(len(SOURCE), SHORT, ahead=3) > 2 * idle
    expected = [idle]
    for _ in range(6):
        scheduler.submit_future(SOURCE, LONG)
        expected.append(scheduler.expected_seconds(len(SOURCE), SHORT))
    assert expected == sorted(expected)
    assert expected[-1] > 2 * idle
