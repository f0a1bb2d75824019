"""Admission control."""

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
    """An engine that takes a fixed number of seconds for each request, one after another."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.queued = 0
        self.asked: list[float] = []

    def expected_seconds(self, source_tokens: float, ahead: int) -> float:
        self.asked.append(source_tokens)
        return self.seconds * (self.queued + ahead + 1)


def build_admission(capacity: int = 100, seconds: float = 0.0, reserve_seconds: float = 0.0) -> Admission:
    return Admission(capacity, Engine(seconds).expected_seconds, 100, reserve_seconds)


def test_requests_over_the_capacity_are_refused_until_a_permit_is_released():
    admission = build_admission(capacity=2)
    first, _ = admission.enter(within(1000)), admission.enter(within(1000))
    with pytest.raises(Overloaded) as caught:
        admission.enter(within(1000))
    assert caught.value.cause == "queue_full"
    assert headers_of(caught.value) == {"retry-after": "1"}
    with first:
        assert admission.inside == 2
    assert admission.inside == 1
    admission.enter(within(1000))


def test_a_request_that_would_miss_its_deadline_is_refused_with_a_retry_time():
    admission = build_admission(seconds=1.0)
    for _ in range(3):
        admission.enter(within(10_000))
    assert admission.expected_seconds() == pytest.approx(4.0)
    with pytest.raises(Overloaded) as caught:
        admission.enter(within(1500))
    assert caught.value.cause == "expected_wait"
    assert headers_of(caught.value) == {"retry-after": "4"}
    assert body_of(caught.value)["retry_after_ms"] == pytest.approx(4000)
    admission.enter(within(9_000))


def test_a_request_is_always_admitted_while_no_other_is_in_progress():
    admission = build_admission(capacity=1, seconds=60.0)
    with admission.enter(within(1)):
        pass
    admission.enter(within(1))


def test_requests_are_counted_once_before_and_after_they_reach_the_engine():
    engine = Engine(1.0)
    admission = Admission(100, engine.expected_seconds, 100)
    permits = [admission.enter(within(10_000)) for _ in range(4)]
    assert admission.expected_seconds() == pytest.approx(5.0)
    for permit in permits:
        permit.handed_over()
        engine.queued += 1
    assert admission.expected_seconds() == pytest.approx(5.0)
    permits[0].handed_over()
    for permit in permits:
        with permit:
            pass
    assert (admission.inside, admission.approaching) == (0, 0)


def test_the_reserve_is_subtracted_from_the_remaining_time():
    admission = build_admission(seconds=0.5, reserve_seconds=9.0)
    admission.enter(within(10_000))
    with pytest.raises(Overloaded):
        admission.enter(within(9_900))


def test_the_estimate_uses_the_average_length_of_the_sources():
    engine = Engine(0.0)
    admission = Admission(1, engine.expected_seconds, 100)
    for _ in range(60):
        admission.observe(40)
    admission.expected_seconds()
    assert engine.asked[-1] == pytest.approx(40, abs=0.5)
