"""Who may come in."""

from __future__ import annotations

import time

import pytest

from service.answering.admission import Admission
from service.answering.deadline import Deadline
from service.answering.errors import Overloaded
from service.http.errors import body_of, headers_of


def within(budget_ms: float) -> Deadline:
    return Deadline.after(time.perf_counter(), budget_ms)


class Engine:
    """Takes so many seconds for each request, one after another."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.queued = 0
        self.asked: list[float] = []

    def expected_seconds(self, source_tokens: float, ahead: int) -> float:
        self.asked.append(source_tokens)
        return self.seconds * (self.queued + ahead + 1)


def admission(capacity: int = 100, seconds: float = 0.0, reserve_seconds: float = 0.0) -> Admission:
    return Admission(capacity, Engine(seconds).expected_seconds, 100, reserve_seconds)


def test_a_full_house_refuses_and_a_permit_given_back_lets_the_next_in():
    door = admission(capacity=2)
    first, _ = door.enter(within(1000)), door.enter(within(1000))
    with pytest.raises(Overloaded) as caught:
        door.enter(within(1000))
    assert caught.value.cause == "queue_full"
    assert headers_of(caught.value) == {"retry-after": "1"}
    with first:
        assert door.inside == 2
    assert door.inside == 1
    door.enter(within(1000))


def test_what_would_be_done_after_its_deadline_is_refused_and_told_for_how_long():
    door = admission(seconds=1.0)
    for _ in range(3):
        door.enter(within(10_000))
    assert door.expected_seconds() == pytest.approx(4.0)
    with pytest.raises(Overloaded) as caught:
        door.enter(within(1500))
    assert caught.value.cause == "expected_wait"
    assert headers_of(caught.value) == {"retry-after": "4"}
    assert body_of(caught.value)["retry_after_ms"] == pytest.approx(4000)
    door.enter(within(9_000))


def test_who_finds_nobody_inside_is_let_in_however_slow_the_engine_is():
    door = admission(capacity=1, seconds=60.0)
    with door.enter(within(1)):
        pass
    door.enter(within(1))


def test_a_burst_is_counted_before_the_engine_knows_of_it_and_not_twice_after():
    engine = Engine(1.0)
    door = Admission(100, engine.expected_seconds, 100)
    permits = [door.enter(within(10_000)) for _ in range(4)]
    assert door.expected_seconds() == pytest.approx(5.0)
    for permit in permits:
        permit.handed_over()
        engine.queued += 1
    assert door.expected_seconds() == pytest.approx(5.0)
    permits[0].handed_over()
    for permit in permits:
        with permit:
            pass
    assert (door.inside, door.approaching) == (0, 0)


def test_the_reserve_is_no_time_for_the_engine():
    door = admission(seconds=0.5, reserve_seconds=9.0)
    door.enter(within(10_000))
    with pytest.raises(Overloaded):
        door.enter(within(9_900))


def test_the_estimate_follows_the_length_of_what_is_asked():
    engine = Engine(0.0)
    door = Admission(1, engine.expected_seconds, 100)
    for _ in range(60):
        door.observe(40)
    door.expected_seconds()
    assert engine.asked[-1] == pytest.approx(40, abs=0.5)
