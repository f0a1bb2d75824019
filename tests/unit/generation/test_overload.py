"""More requests than can be answered: admitted requests are answered whole, and the others are refused on arrival.

The clock is a number: an encoder pass adds 4 to it, a step 1 and a quarter more for each further request. Requests
arrive at random instants; one that is alone takes about 9. The forecast admits them one by one, as in the service.
"""

from __future__ import annotations

import queue
import random
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest

from generation.bundle import load_bundle
from generation.forecaster import Forecaster
from generation.inbox import Backlog, Entry, Inbox
from generation.loop import Loop
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.request import GenerationRequest
from generation.results import Generation
from generation.scheduler_stats import Watch
from generation.stepper import Stepper

OPTIONS = GenerationOptions(max_new_tokens=8)
BUDGET = 80.0
CAPACITY = 1 / 7.5  # requests answered in a unit of time when there are always enough of them
REQUESTS = 400


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Arrivals(Inbox):
    """An inbox that requests arrive in, each at its instant. Waiting for the next one moves the clock."""

    def __init__(self, clock: Clock, arrivals: list[float], seed: int) -> None:
        super().__init__()
        self._clock = clock
        self._arrivals = arrivals
        self._random = random.Random(seed)
        self.backlog: Backlog
        self.forecaster: Forecaster
        self.refused = 0
        self.futures: list[Future[Generation]] = []

    def take(self, *, wait: bool) -> Entry | None:
        while self._arrivals and self._arrivals[0] <= self._clock.now:
            self._arrive(self._arrivals.pop(0))
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

    def _arrive(self, instant: float) -> None:
        source = [0, *self._random.choices(range(7, 300), k=self._random.randint(20, 90)), 2]
        inside = self.backlog.waiting_count + len(self.backlog.active)
        left = instant + BUDGET - self._clock.now
        if inside and self.forecaster.expected_seconds(len(source), 0, OPTIONS) > left:
            self.refused += 1
            return
        entry = Entry(GenerationRequest(source, OPTIONS, instant + BUDGET), Future(), instant)
        self.futures.append(entry.future)
        self.put(entry)


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


def simulate(bundle_path: Path, clock: Clock, arrivals: list[float], seed: int = 0) -> tuple[int, Counter[str]]:
    """Return how many requests were refused, and how many of the others were answered whole, cut short and empty."""
    bundle = load_bundle(bundle_path)
    pace = Pace(bundle.architecture.max_positions)
    inbox = Arrivals(clock, list(arrivals), seed)
    inbox.backlog = backlog = Backlog(inbox)
    inbox.forecaster = Forecaster(pace, backlog, 64)
    loop = Loop(Stepper(bundle, 1, 64), backlog, Watch(), pace, clock)
    loop.warm_up()
    clock.now = 0.0
    loop.run()
    assert all(future.done() for future in inbox.futures)
    answers = [future.result() for future in inbox.futures]
    answered = Counter("whole" if not a.deadline_reached else "cut" if a.steps else "empty" for a in answers)
    return inbox.refused, answered


def test_the_warm_up_measures_how_a_step_grows_with_its_requests(bundle_path: Path, clock: Clock) -> None:
    bundle = load_bundle(bundle_path)
    pace = Pace(bundle.architecture.max_positions)
    stepper = Stepper(bundle, 1, 64)
    Loop(stepper, Backlog(Inbox()), Watch(), pace, clock).warm_up()
    assert [pace.stepping(count).mean for count in (1, 2, 4)] == pytest.approx([1.0, 1.25, 1.75])
    assert stepper.requests == 0


def poisson(rate: float, seed: int) -> list[float]:
    generator, now, arrivals = random.Random(seed), 0.0, []
    for _ in range(REQUESTS):
        now += generator.expovariate(rate)
        arrivals.append(now)
    return arrivals


@pytest.mark.parametrize("factor", [1.5, 2, 4])
def test_under_overload_admitted_requests_get_whole_answers(bundle_path: Path, clock: Clock, factor: float) -> None:
    arrivals = poisson(factor * CAPACITY, seed=1)
    refused, answered = simulate(bundle_path, clock, arrivals)
    # At first the usual number of steps is unknown, and at four times the capacity the simulation is short.
    assert answered["whole"] > 0.85 * answered.total()
    assert answered["whole"] > 0.85 * CAPACITY * arrivals[-1]  # not at the price of unused capacity
    assert refused + answered.total() == REQUESTS


@pytest.mark.parametrize("factor", [0.2, 0.6])
def test_below_capacity_no_request_is_refused(bundle_path: Path, clock: Clock, factor: float) -> None:
    refused, answered = simulate(bundle_path, clock, poisson(factor * CAPACITY, seed=2))
    assert refused <= 0.01 * REQUESTS
    assert answered["whole"] == answered.total()


def test_a_page_of_requests_gets_as_many_whole_answers_as_there_is_time_for(bundle_path: Path, clock: Clock) -> None:
    pages = [float(1000 * page) for page in range(1, 11) for _ in range(16)]
    refused, answered = simulate(bundle_path, clock, pages)
    assert answered["whole"] >= 0.95 * answered.total()
    assert answered["whole"] >= 0.7 * 10 * CAPACITY * BUDGET
    assert refused == 160 - answered.total()
