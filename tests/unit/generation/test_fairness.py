"""Long and short requests side by side, and encoding between steps: nobody starves anybody.

The loop is turned by hand, over the tiny model, and what it did is read from what its observer was told.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from generation.bundle import load_bundle
from generation.inbox import Inbox, Request
from generation.loop import Loop
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.results import Generation
from generation.scheduler_stats import Outcome, Watch
from generation.stepper import Stepper

SOURCE = [0, 165, 198, 279, 221, 120, 5, 194, 40, 25, 213, 5, 194, 5, 77, 54, 126, 5, 2]
LONGEST = [0] + [40] * 126 + [2]
LONG = GenerationOptions(
    max_new_tokens=40, min_new_tokens=39, early_stopping="never", num_beams=4, num_return_sequences=4
)
SHORT = GenerationOptions(max_new_tokens=2, num_beams=4, num_return_sequences=4)
NARROW = GenerationOptions(max_new_tokens=8, min_new_tokens=7, num_beams=2, num_return_sequences=2)


class Diary:
    """An observer that writes down how many requests each step moved, and E where one was encoded."""

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


class House:
    """A loop that is turned by hand."""

    def __init__(self, bundle_path: Path, row_budget: int) -> None:
        bundle = load_bundle(bundle_path)
        self.diary = Diary()
        self.inbox = Inbox()
        self.now = itertools.count()
        self.loop = Loop(
            Stepper(bundle, 1, row_budget),
            self.inbox,
            Watch(self.diary),
            Pace(bundle.architecture.max_positions),
            lambda: float(next(self.now)),
        )

    def submit(self, options: GenerationOptions, source: Sequence[int] = SOURCE) -> Future[Generation]:
        future: Future[Generation] = Future()
        self.inbox.put(Request(source, options, None, (), future, 0.0))
        return future

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop.take_in()
            self.loop.turn()


@pytest.fixture
def house(bundle_path: Path) -> House:
    return House(bundle_path, row_budget=12)


def test_one_source_at_most_is_encoded_between_two_steps(house: House) -> None:
    for _ in range(6):
        house.submit(LONG)
    house.turn(5)
    assert str(house.diary) == "E1E2E333"  # twelve rows hold three


def test_a_stream_of_newcomers_delays_a_long_request_by_one_encoding_a_step(house: House) -> None:
    long = house.submit(LONG)
    house.turn()
    while not long.done():
        house.submit(SHORT)
        house.turn()
    assert long.result().steps == 40
    steps = house.diary.entries
    assert len(steps) - steps.count("E") == 39  # it took part in every step: the first is taken with the encoding
    assert steps.count("E") == 39


def test_a_short_request_does_not_wait_for_the_long_ones_beside_it(house: House) -> None:
    long = [house.submit(LONG) for _ in range(2)]
    house.turn(2)
    short = house.submit(SHORT)
    house.turn()
    assert short.done()
    assert not any(future.done() for future in long)


def test_a_short_request_waits_for_its_turn_where_long_ones_fill_the_house(house: House) -> None:
    first = [house.submit(LONG) for _ in range(3)]
    short = house.submit(SHORT)
    last = house.submit(LONG)
    house.turn(3)
    while not any(future.done() for future in first):
        assert not short.done()
        house.turn()
    house.turn()
    assert short.done()
    assert not last.done()


def test_requests_of_other_shapes_are_moved_on_in_the_same_steps(house: House) -> None:
    """Long sources, short sources, and other beams lie in lanes of their own; each step is a step of every lane."""
    together = [house.submit(LONG), house.submit(NARROW), house.submit(LONG, LONGEST)]
    house.turn(3)
    assert house.loop.stepper.rows == 4 + 2 + 4
    steps = [request.progress.search.steps for request in house.loop.active if request.progress]
    assert steps == [4, 3, 2]
    house.turn(4)
    steps = [request.progress.search.steps for request in house.loop.active if request.progress]
    assert steps in ([8, 7, 6], [8, 6])  # the narrow one may end by itself
    while not all(future.done() for future in together):
        house.turn()
    assert [future.result().steps for future in together] == [40, pytest.approx(8, abs=1), 40]
