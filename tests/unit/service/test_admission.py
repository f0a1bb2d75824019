"""Who may come in."""

from __future__ import annotations

import time

import pytest

from service.admission import Admission
from service.deadline import Deadline
from service.errors import Overloaded


def within(budget_ms: float) -> Deadline:
    return Deadline.after(time.perf_counter(), budget_ms)


def test_a_full_queue_refuses():
    admission = Admission(capacity=2)
    admission.enter(within(1000))
    admission.enter(within(1000))
    with pytest.raises(Overloaded) as caught:
        admission.enter(within(1000))
    assert caught.value.cause == "queue_full"
    assert caught.value.headers() == {"retry-after": "1"}
    admission.leave()
    admission.enter(within(1000))


def test_a_wait_longer_than_the_deadline_refuses_and_says_for_how_long():
    admission = Admission(capacity=100)
    admission.observe(1.0)
    for _ in range(3):
        admission.enter(within(10_000))
    assert admission.expected_wait() == pytest.approx(3.0)
    with pytest.raises(Overloaded) as caught:
        admission.enter(within(500))
    assert caught.value.cause == "expected_wait"
    assert caught.value.headers() == {"retry-after": "3"}
    assert caught.value.body()["retry_after_ms"] == pytest.approx(2500, abs=50)
    admission.enter(within(9_000))


def test_an_idle_service_never_refuses_however_slow_it_was():
    admission = Admission(capacity=1)
    admission.observe(60.0)
    admission.enter(within(1))


def test_one_stall_moves_the_estimate_little():
    admission = Admission(capacity=1)
    admission.observe(0.010)
    admission.observe(5.0)
    assert admission.generation_seconds == pytest.approx(0.013)
    for _ in range(60):
        admission.observe(0.020)
    assert admission.generation_seconds == pytest.approx(0.020, rel=0.01)
