from __future__ import annotations

import pytest

from generation.pace import Estimate, Forecast, Line, Pace


def test_an_estimate_follows_the_mean_and_the_deviation() -> None:
    steady, noisy = Estimate(), Estimate()
    for index in range(200):
        steady.add(1.0)
        noisy.add(1.0 + (-1) ** index * 0.5)
    assert (steady.mean, steady.deviation) == pytest.approx((1.0, 0.0))
    assert noisy.mean == pytest.approx(1.0, abs=0.05)
    assert noisy.deviation > 0.25


def test_variances_add_up_not_deviations() -> None:
    one = Forecast(10.0, 3.0**2)
    both = one + Forecast(20.0, 4.0**2)
    assert one.cautious == pytest.approx(16.0)
    assert both.cautious == pytest.approx(30.0 + 2 * 5.0)


def test_before_any_measurement_forecasts_are_zero() -> None:
    pace = Pace(longest_source=100)
    assert pace.stepping(4).cautious == pace.encoding(50).cautious == 0.0


def test_durations_of_zero_give_a_forecast_of_zero() -> None:
    pace = Pace(longest_source=100)
    pace.stepped(1, 0.0)
    assert pace.stepping(1) == Forecast(0.0, 0.0)


def test_a_short_source_takes_between_half_and_all_of_the_longest_ones_time() -> None:
    pace = Pace(longest_source=100)
    pace.encoded(100, 2.0)
    assert pace.encoding(100).mean == pytest.approx(2.0)
    assert pace.encoding(50).mean == pytest.approx(1.5)
    assert pace.encoding(50, count=3).mean == pytest.approx(4.5)


def test_the_time_of_a_step_is_linear_in_the_number_of_requests() -> None:
    pace = Pace(longest_source=100)
    pace.stepped(1, 1.0)
    pace.stepped(4, 2.5)
    assert [pace.stepping(count).mean for count in (1, 3, 8)] == pytest.approx([1.0, 2.0, 4.5])


@pytest.mark.parametrize(
    ("points", "at_eight"),
    [([(2, 1.0)], 4.0), ([(2, 1.0), (4, 0.5)], 0.75), ([(2, 1.0), (4, 9.0)], 40 / 3)],
    ids=["one number of requests: proportional", "falling: flat", "steeper than proportional: proportional"],
)
def test_the_slope_is_between_zero_and_proportional(points: list[tuple[int, float]], at_eight: float) -> None:
    line = Line()
    for requests, seconds in points:
        line.add(requests, seconds)
    # Newer points have a little more weight.
    assert line.at(8) == pytest.approx(at_eight, rel=0.01)


def test_how_a_step_grows_is_remembered_while_requests_come_one_by_one() -> None:
    pace = Pace(longest_source=100)
    pace.stepped(1, 1.0)
    pace.stepped(2, 1.25)
    for _ in range(5000):
        pace.stepped(1, 1.0)
    assert pace.stepping(2).mean == pytest.approx(1.25, abs=0.01)


def test_a_busy_machine_is_busy_for_every_number_of_requests() -> None:
    pace = Pace(longest_source=100)
    for _ in range(20):
        pace.stepped(1, 1.0)
        pace.stepped(4, 2.0)
    for _ in range(20):
        pace.stepped(4, 4.0)
    assert pace.stepping(1).mean > 1.25


def test_the_steps_left_follow_the_searches_that_ended() -> None:
    pace = Pace(longest_source=100)
    pace.stepped(1, 1.0)
    assert pace.steps_left(2, limit=10) == 8.0  # no search has ended yet: the limit counts
    for steps in (4, 8) * 50:
        pace.ended(steps)
    assert pace.steps_left(2, limit=10) == pytest.approx(4.0, abs=0.5)
    assert pace.steps_left(2, limit=5) == 3.0
    assert pace.steps_left(30, limit=40) == 1.0
    assert pace.stepping(1, 4.0, searches=1).variance > pace.stepping(1, 4.0).variance
