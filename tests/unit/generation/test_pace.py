from __future__ import annotations

import pytest

from generation.pace import Estimate, Pace


def test_an_estimate_follows_and_knows_how_far_values_stray() -> None:
    steady, restless = Estimate(), Estimate()
    for index in range(200):
        steady.add(1.0)
        restless.add(1.0 + (-1) ** index * 0.5)
    assert steady.cautious == pytest.approx(1.0)
    assert restless.mean == pytest.approx(1.0, abs=0.05)
    assert restless.cautious > 1.5


def test_before_anything_was_measured_everything_takes_no_time() -> None:
    pace = Pace(longest_source=100)
    assert pace.step_seconds(4) == pace.encode_seconds(50) == 0.0


def test_a_short_source_takes_less_than_the_longest_and_more_than_half() -> None:
    pace = Pace(longest_source=100)
    pace.encoded(100, 2.0)
    assert pace.encode_seconds(100) == pytest.approx(2.0)
    assert pace.encode_seconds(50) == pytest.approx(1.5)


def test_a_number_of_requests_never_seen_is_judged_by_the_nearest() -> None:
    pace = Pace(longest_source=100)
    pace.stepped(1, 1.0)
    pace.stepped(4, 2.0)
    assert pace.step_seconds(1) == pytest.approx(1.0)
    assert pace.step_seconds(3) == pytest.approx(2.0)
    assert pace.step_seconds(8) == pytest.approx(4.0)
