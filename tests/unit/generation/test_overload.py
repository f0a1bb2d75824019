"""More requests than can be answered: those who are let in are answered whole, and others are told so at the door.

Time is a number that encoding (4) and stepping (1, and a quarter more for each further request) move on, and arrivals
come at random instants of it. A request alone takes about 9; one after the other come in at the door, as they do at
the service's.
"""

from __future__ import annotations

import queue
import random
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest

from generation.bundle import load_bundle
from generation.inbox import Inbox, Request
from generation.loop import Loop
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.results import Generation
from generation.scheduler_stats import Watch
from generation.stepper import Stepper

OPTIONS = GenerationOptions(max_new_tokens=8)
BUDGET = 80.0
CAPACITY = 1 / 7.5  # requests in a unit of time, where there are always enough of them
REQUESTS = 400


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Street(Inbox):
    """Where the requests of a day come from, each at its instant. The loop asks for the next; so time goes by."""

    def __init__(self, clock: Clock, arrivals: list[float], seed: int) -> None:
        super().__init__()
        self._clock = clock
        self._arrivals = arrivals
        self._random = random.Random(seed)
        self.loop: Loop
        self.refused = 0
        self.futures: list[Future[Generation]] = []

    def take(self, *, wait: bool) -> Request | None:
        while self._arrivals and self._arrivals[0] <= self._clock.now:
            self._knock(self._arrivals.pop(0))
        if wait and not len(self) and self._arrivals:
            self._clock.now = self._arrivals[0]
            return self.take(wait=True)
        if not len(self):
            if not self._arrivals:
                self.closed = True
            if wait:
                return None
            raise queue.Empty
        return super().take(wait=False)

    def _knock(self, came: float) -> None:
        source = [0, *self._random.choices(range(7, 300), k=self._random.randint(20, 90)), 2]
        inside = len(self) + len(self.loop.waiting) + len(self.loop.active)
        left = came + BUDGET - self._clock.now
        if inside and self.loop.expected_seconds(len(source), OPTIONS, 0) > left:
            self.refused += 1
            return
        request = Request(source, OPTIONS, came + BUDGET, (), Future(), came)
        self.futures.append(request.future)
        self.put(request)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    begin, step = Stepper.begin, Stepper.step

    def slow_begin(self: Stepper, *request: object) -> object:
        clock.now += 4.0
        return begin(self, *request)  # type: ignore[arg-type]

    def slow_step(self: Stepper) -> None:
        clock.now += 0.75 + 0.25 * self.requests
        step(self)

    monkeypatch.setattr(Stepper, "begin", slow_begin)
    monkeypatch.setattr(Stepper, "step", slow_step)
    return clock


def day(bundle_path: Path, clock: Clock, arrivals: list[float], seed: int = 0) -> tuple[int, Counter[str]]:
    """Live through the arrivals; return how many were refused, and the fates of those who were let in."""
    bundle = load_bundle(bundle_path)
    pace = Pace(bundle.architecture.max_positions)
    street = Street(clock, list(arrivals), seed)
    street.loop = loop = Loop(Stepper(bundle, 1, 64), street, Watch(None), pace, clock)
    loop.warm_up()
    clock.now = 0.0
    loop.run()
    assert all(future.done() for future in street.futures)
    answers = [future.result() for future in street.futures]
    fates = Counter("whole" if not a.deadline_reached else "cut" if a.steps else "empty" for a in answers)
    return street.refused, fates


def poisson(rate: float, seed: int) -> list[float]:
    generator, now, arrivals = random.Random(seed), 0.0, []
    for _ in range(REQUESTS):
        now += generator.expovariate(rate)
        arrivals.append(now)
    return arrivals


@pytest.mark.parametrize("factor", [1.5, 2, 4])
def test_in_a_flood_those_who_are_let_in_are_answered_whole(bundle_path: Path, clock: Clock, factor: float) -> None:
    arrivals = poisson(factor * CAPACITY, seed=1)
    refused, fates = day(bundle_path, clock, arrivals)
    # At first nothing is known of how many steps a request takes; the day of a flood of four times is short.
    assert fates["whole"] > 0.85 * fates.total()
    assert fates["whole"] > 0.85 * CAPACITY * arrivals[-1]  # and no time is left unused for it
    assert refused + fates.total() == REQUESTS


@pytest.mark.parametrize("factor", [0.2, 0.6])
def test_where_there_is_time_nobody_is_refused(bundle_path: Path, clock: Clock, factor: float) -> None:
    refused, fates = day(bundle_path, clock, poisson(factor * CAPACITY, seed=2))
    assert refused <= 0.01 * REQUESTS
    assert fates["whole"] == fates.total()


def test_a_page_gets_as_many_whole_answers_as_there_is_time_for(bundle_path: Path, clock: Clock) -> None:
    pages = [float(1000 * page) for page in range(1, 11) for _ in range(16)]
    refused, fates = day(bundle_path, clock, pages)
    assert fates["whole"] >= 0.95 * fates.total()
    assert fates["whole"] >= 0.7 * 10 * CAPACITY * BUDGET
    assert refused == 160 - fates.total()
