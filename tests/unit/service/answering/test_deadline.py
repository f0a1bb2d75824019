"""The deadline of a request."""

from __future__ import annotations

import time

import pytest

from service.answering.deadline import Deadline


def test_a_deadline_counts_from_the_arrival_of_the_request():
    arrived = time.perf_counter() - 0.010
    deadline = Deadline.after(arrived, 1000)
    assert deadline.expires_at == pytest.approx(arrived + 1.0)
    assert 0 < deadline.remaining() <= 0.990
    assert deadline.elapsed() >= 0.010


def test_the_remaining_time_is_never_negative():
    gone = Deadline.after(time.perf_counter() - 5, 1)
    assert gone.remaining() == 0
    assert gone.share(0.5, 1.0) == 0


def test_a_stage_gets_a_share_of_the_remaining_time_up_to_its_limit():
    deadline = Deadline.after(time.perf_counter(), 10_000)
    assert deadline.share(0.3, 0.005) == 0.005
    assert 2.0 < deadline.share(0.3, 60) <= 3.0
