from __future__ import annotations

import pytest

from generation.pace import Estimate, Forecast, Line, Pace


def test_an_estimate_follows_and_knows_how_far_values_stray() -> None:
    steady, restless = Estimate(), Estimate()
    for index in range(200):
        steady.add(1.0)
        restless.add(1.0 + (-1) ** index * 0.5)
    assert (steady.mean, steady.deviation) == pytest.approx((1.0, 0.0))
    assert restless.mean == pytest.approx(1.0, abs=0.05)
    assert restless.deviation > 0.25


def test_what_strays_cancels_in_part_where_things_follow_each_other() -> None:
    one = Forecast(10.0, 3.0**2)
    both = one + Forecast(20.0, 4.0**2)
    assert one.cautious == pytest.approx(16.0)
    assert both.cautious == pytest.approx(30.0 + 2 * 5.0)


def test_before_anything_was_measured_everything_takes_no_time() -> None:
    pace = Pace(longest_source=100)
    assert pace.stepping(4).cautious == pace.encoding(50).cautious == 0.0


def test_a_clock_that_stands_still_is_no_measure() -> None:
    pace = Pace(longest_source=100)
    pace.stepped(1, 0.0)
    assert pace.stepping(1) == Forecast(0.0, 0.0)


def test_a_short_source_takes_less_than_the_longest_and_more_than_half() -> None:
    pace = Pace(longest_source=100)
    pace.encoded(100, 2.0)
    assert pace.encoding(100).mean == pytest.approx(2.0)
    assert pace.encoding(50).mean == pytest.approx(1.5)
    assert pace.encoding(50, count=3).mean == pytest.approx(4.5)


def test_the_time_of_a_step_lies_on_a_line_over_the_number_of_requests() -> None:
    pace = Pace(longest_source=100)
    pace.stepped(1, 1.0)
    pace.stepped(4, 2.5)
    assert [pace.stepping(count).mean for count in (1, 3, 8)] == pytest.approx([1.0, 2.0, 4.5])


@pytest.mark.parametrize(
    ("points", "at_eight"),
    [([(2, 1.0)], 4.0), ([(2, 1.0), (4, 0.5)], 0.75), ([(2, 1.0), (4, 9.0)], 40 / 3)],
    ids=["one number of requests: in proportion", "falling: flat", "steeper than in proportion: in proportion"],
)
def test_rows_cost_something_and_less_in_company(points: list[tuple[int, float]], at_eight: float) -> None:
    line = Line()
    for requests, seconds in points:
        line.add(requests, seconds)
    # What is newer weighs a little more.
    assert line.at(8) == pytest.approx(at_eight, rel=0.01)


def test_a_machine_that_is_busy_is_so_for_any_number_of_requests() -> None:
    pace = Pace(longest_source=100)
    for _ in range(20):
        pace.stepped(1, 1.0)
        pace.stepped(4, 2.0)
    for _ in range(20):
        pace.stepped(4, 4.0)
    assert pace.stepping(1).mean > 1.25


def test_how_many_steps_are_left_is_not_known_of_searches_that_go_on() -> None:
    pace = Pace(longest_source=100)
    pace.stepped(1, 1.0)
    assert pace.steps_left(2, limit=10) == 8.0  # nothing has ended yet: the most it may be
    for steps in (4, 8) * 50:
        pace.ended(steps)
    assert pace.steps_left(2, limit=10) == pytest.approx(4.0, abs=0.5)
    assert pace.steps_left(2, limit=5) == 3.0
    assert pace.steps_left(30, limit=40) == 1.0
    assert pace.stepping(1, 4.0, searches=1).square > pace.stepping(1, 4.0).square
