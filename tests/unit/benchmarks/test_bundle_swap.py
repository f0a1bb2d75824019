"""What the benchmark of a change of the bundle reports, and when its aim is met."""

from __future__ import annotations

import pytest

from benchmarks.bundle_swap import QUIET_WINDOWS, summary
from benchmarks.windows import Window
from loadtest.samples import Sample


def window(latency_ms: float, status: int = 200, faults: tuple[str, ...] = ()) -> Window:
    return Window(3.0, [Sample("warm", 0.0, 0.0, latency_ms, status, faults, ())] * 10, 300.0)


@pytest.mark.parametrize(
    ("change", "met"),
    [
        (window(15.0), True),
        (window(15.1), False),
        (window(12.0, status=503), False),
        (window(12.0, status=429), False),
        (window(12.0, faults=("a query is prohibited",)), False),
    ],
)
def test_the_aim_is_no_failed_request_and_at_most_one_and_a_half_times_the_quiet_p99(change, met):
    assert summary([window(10.0)] * QUIET_WINDOWS, [window(10.0), change])["met"] is met


def test_thirty_milliseconds_are_the_limit_on_a_slow_machine():
    quiet = [window(25.0)] * QUIET_WINDOWS
    assert summary(quiet, [window(30.0)])["met"]
    assert not summary(quiet, [window(30.1)])["met"]


def test_the_quiet_windows_count_by_their_median():
    quiet = [window(ms) for ms in (9.0, 10.0, 10.0, 11.0, 90.0)]
    found = summary(quiet, [window(12.0)])
    assert (found["median_quiet_p99_ms"], found["times_quiet"], found["failed"]) == (10.0, 1.2, 0)
