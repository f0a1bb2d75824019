"""`--since DAY`: the days before it are those of the build before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offline.build.days import EVENTS, TableReport, check_increment
from offline.build.errors import BuildError

BEFORE = TableReport(2, {}, {}, {name: {"0": 5, "1": 6, "2": 7} for name in EVENTS})
NOW = TableReport(3, {}, {}, {name: {"0": 5, "1": 6, "2": 7, "3": 8} for name in EVENTS})


def test_a_day_that_was_added_is_an_increment() -> None:
    check_increment(BEFORE, NOW, 3)


def test_the_last_day_may_have_grown() -> None:
    grown = {**NOW.days, "searches": {"0": 5, "1": 6, "2": 70, "3": 8}}
    check_increment(BEFORE, replace(NOW, days=grown), 2)
    with pytest.raises(BuildError, match=r"searches had 7 rows of day 2 in the build before and has 70 now.*--since 2"):
        check_increment(BEFORE, replace(NOW, days=grown), 3)


@pytest.mark.parametrize(
    ("before", "since", "message"),
    [
        (None, 3, "needs an earlier build, and there is none"),
        (BEFORE, 4, "the logs end on day 3, so --since 4 adds nothing"),
        (replace(BEFORE, last_day=1), 3, "the build before read the days up to 1.*give --since 2"),
    ],
)
def test_what_is_no_increment_is_refused(before: TableReport | None, since: int, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        check_increment(before, NOW, since)
