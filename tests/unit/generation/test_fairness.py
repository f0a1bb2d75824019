"""Long and short requests together, and encoder passes between steps: no request starves another.

The tests run the loop turn by turn, on the tiny model, and read its steps from its observer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from generation.bundle import load_bundle
from generation.inbox import Backlog, Entry
from generation.loop import Loop
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.request import GenerationRequest
from generation.results import Generation
from generation.scheduler_stats import Outcome, Watch
from generation.stepper import Stepper
from tests.unit.generation.gate import LONG, SHORT, SOURCE

LONGEST = [0] + [40] * 126 + [2]
NARROW = GenerationOptions(max_new_tokens=8, min_new_tokens=7, num_beams=2, num_return_sequences=2)


class StepLog:
    """An observer that keeps the number of requests of each step, and E for each encoder pass."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def started(self, queue_seconds: float) -> None:
        pass

    def encoded(self, source_tokens: int, seconds: float) -> None:
        self.entries.append("E")

    def stepped(self, requests: int, rows: int, seconds: float) -> None:
        self.entries.append(str(requests))

    def ended(self, outcome: Outcome) -> None:
        pass

    def __str__(self) -> str:
        return "".join(self.entries)


class ManualLoop:
    """A loop that the test runs turn by turn."""

    def __init__(self, bundle_path: Path, row_budget: int) -> None:
        bundle = load_bundle(bundle_path)
        self.log = StepLog()
        self.backlog = Backlog()
        self.now = itertools.count()
        self.loop = Loop(
            Stepper(bundle, 1, row_budget),
            self.backlog,
            Watch(self.log),
            Pace(bundle.architecture.max_positions),
            lambda: float(next(self.now)),
        )

    def submit(self, options: GenerationOptions, source: Sequence[int] = SOURCE) -> Future[Generation]:
        future: Future[Generation] = Future()
        self.backlog.inbox.put(Entry(GenerationRequest(source, options), future, 0.0))
        return future

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop.take_in()
            self.loop.turn()


@pytest.fixture
def manual(bundle_path: Path) -> ManualLoop:
    return ManualLoop(bundle_path, row_budget=12)


def test_at_most_one_source_is_encoded_between_two_steps(manual: ManualLoop) -> None:
    for _ in range(6):
        manual.submit(LONG)
    manual.turn(5)
    assert str(manual.log) == "E1E2E333"  # twelve rows hold three


def test_a_stream_of_short_requests_delays_a_long_one_by_one_encoding_a_step(manual: ManualLoop) -> None:
    long = manual.submit(LONG)
    manual.turn()
    while not long.done():
        manual.submit(SHORT)
        manual.turn()
    assert long.result().steps == 40
    steps = manual.log.entries
    assert len(steps) - steps.count("E") == 39  # it took part in every step; the first step is part of the encoding
    assert steps.count("E") == 39


def test_a_short_request_does_not_wait_for_long_ones_that_are_active(manual: ManualLoop) -> None:
    long = [manual.submit(LONG) for _ in range(2)]
    manual.turn(2)
    short = manual.submit(SHORT)
    manual.turn()
    assert short.done()
    assert not any(future.done() for future in long)


def test_a_short_request_waits_while_long_ones_fill_the_row_budget(manual: ManualLoop) -> None:
    first = [manual.submit(LONG) for _ in range(3)]
    short = manual.submit(SHORT)
    last = manual.submit(LONG)
    manual.turn(3)
    while not any(future.done() for future in first):
        assert not short.done()
        manual.turn()
    manual.turn()
    assert short.done()
    assert not last.done()


def test_requests_of_different_shapes_take_the_same_steps(manual: ManualLoop) -> None:
    """Long sources, short sources, and other numbers of beams have their own lanes; a step is a step of every lane."""
    futures = [manual.submit(LONG), manual.submit(NARROW), manual.submit(LONG, LONGEST)]
    manual.turn(3)
    assert manual.loop.stepper.rows == 4 + 2 + 4
    steps = [entry.progress.search.steps for entry in manual.backlog.active if entry.progress]
    assert steps == [4, 3, 2]
    manual.turn(4)
    steps = [entry.progress.search.steps for entry in manual.backlog.active if entry.progress]
    assert steps in ([8, 7, 6], [8, 6])  # the search of the narrow one may end early
    while not all(future.done() for future in futures):
        manual.turn()
    assert [future.result().steps for future in futures] == [40, pytest.approx(8, abs=1), 40]
