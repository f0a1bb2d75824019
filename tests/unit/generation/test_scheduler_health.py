"""The heartbeat of the scheduler, and the events that an observer gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from generation.bundle import load_bundle
from generation.scheduler import Scheduler
from generation.scheduler_stats import Outcome
from tests.unit.generation.gate import LONG_REQUEST, SHORT_REQUEST, SOURCE, Gate


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(gate: Gate, bundle_path: Path, clock: Clock) -> Iterator[Scheduler]:
    """A scheduler whose clock the test moves."""
    scheduler = Scheduler(load_bundle(bundle_path), clock=clock)
    yield scheduler
    gate.open()
    scheduler.close()


def test_an_idle_scheduler_is_not_stalled(timed: Scheduler, clock: Clock) -> None:
    clock.now += 3600
    assert timed.stalled_seconds == 0.0
    timed.generate(SHORT_REQUEST)
    timed.submit_future(SHORT_REQUEST).cancel()
    timed.generate(SHORT_REQUEST)  # the loop has finished the turn of the request before
    clock.now += 3600
    assert timed.stalled_seconds in (0.0, 3600.0)  # it may not have noticed yet that there is no work left
    timed.close()
    assert timed.stalled_seconds == 0.0


def test_a_hanging_step_is_a_stall_until_the_turn_is_finished(timed: Scheduler, gate: Gate, clock: Clock) -> None:
    clock.now += 3600  # idle time does not count
    gate.close()
    timed.submit_future(LONG_REQUEST)
    gate.wait()
    assert timed.stalled_seconds == 0.0
    clock.now += 7
    assert timed.stalled_seconds == 7.0
    timed.submit_future(LONG_REQUEST)  # new requests are no progress
    clock.now += 2
    assert timed.stalled_seconds == 9.0
    assert timed.alive
    gate.step()
    assert timed.stalled_seconds == 0.0


def test_closing_does_not_wait_for_a_hanging_step(
    timed: Scheduler, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("generation.scheduler.CLOSE_GRACE_SECONDS", 0.01)
    gate.close()
    timed.submit_future(LONG_REQUEST)
    gate.wait()
    timed.close(0.0)
    assert not timed.alive
    assert "hangs in a step" in caplog.text


class Recorder:
    """An observer that keeps the events."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def started(self, queue_seconds: float) -> None:
        self.events.append(("started", queue_seconds >= 0))

    def encoded(self, source_tokens: int, seconds: float) -> None:
        self.events.append(("encoded", source_tokens))

    def stepped(self, requests: int, rows: int, seconds: float) -> None:
        self.events.append(("stepped", requests, rows))

    def ended(self, outcome: Outcome) -> None:
        self.events.append(("ended", outcome))


ONE_SHORT_REQUEST = [("started", True), ("encoded", len(SOURCE)), ("stepped", 1, 4), ("ended", "finished")]


def test_an_observer_gets_the_requests_after_it_was_attached_and_no_others(scheduler: Scheduler) -> None:
    first, second = Recorder(), Recorder()
    scheduler.generate(SHORT_REQUEST)
    scheduler.observe(first)
    scheduler.generate(SHORT_REQUEST)
    scheduler.observe(second)
    scheduler.generate(SHORT_REQUEST)
    scheduler.observe(None)
    scheduler.generate(SHORT_REQUEST)
    assert first.events == second.events == ONE_SHORT_REQUEST
    assert scheduler.stats().finished == 4  # counters are of all requests


def test_an_observer_can_be_replaced_while_the_loop_runs(scheduler: Scheduler) -> None:
    recorder = Recorder()
    futures = [scheduler.submit_future(LONG_REQUEST) for _ in range(3)]
    while not all(future.done() for future in futures):
        scheduler.observe(recorder)
        scheduler.observe(None)
    assert [future.result().steps for future in futures] == [40] * 3


def test_an_observer_that_raises_is_logged_and_has_no_effect(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Recorder):
        def ended(self, outcome: Outcome) -> None:
            super().ended(outcome)
            raise RuntimeError("a broken counter")

    broken = Broken()
    scheduler.observe(broken)
    assert scheduler.generate(SHORT_REQUEST).steps == 2
    assert broken.events == ONE_SHORT_REQUEST
    assert "a broken counter" in caplog.text
