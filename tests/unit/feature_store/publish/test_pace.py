"""The rate limit: how long it waits, and how large its chunks are. Time is a number here; nothing sleeps."""

from __future__ import annotations

import pytest

from feature_store.publish.pace import CHUNK_ROWS, Pace, size_of
from feature_store.writes import HashWrite


class Time:
    """A clock that only sleeping and `pass_by` move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def pace_of(time: Time, rows: int | None = None, size: int | None = None) -> Pace:
    return Pace(rows, size, time.clock, time.sleep)


WRITES = [HashWrite(f"key{n:03}", {"text": b"x" * 90}) for n in range(100)]  # 100 bytes each


def test_without_a_limit_nothing_waits(time: Time) -> None:
    pace = pace_of(time)
    pace.wait(10**6, 10**9)
    assert (time.slept, pace.chunk_rows) == ([], CHUNK_ROWS)


def test_rows_and_bytes_are_limited_and_the_longer_wait_counts(time: Time) -> None:
    pace = pace_of(time, rows=100, size=1000)
    pace.wait(50, 100)
    pace.wait(50, 2000)
    assert time.slept == pytest.approx([0.5, 2.0])


def test_the_time_that_a_chunk_took_is_part_of_the_wait(time: Time) -> None:
    pace = pace_of(time, rows=100)
    time.pass_by(0.3)
    pace.wait(50, 0)
    assert time.slept == pytest.approx([0.2])


def test_time_that_was_not_used_is_not_made_up_for(time: Time) -> None:
    pace = pace_of(time, rows=100)
    time.pass_by(60)
    pace.wait(50, 0)
    pace.wait(50, 0)
    assert time.slept == pytest.approx([0.5])


def test_a_chunk_is_a_tenth_of_a_second(time: Time) -> None:
    assert [len(chunk) for chunk in pace_of(time, rows=400).chunks(WRITES)] == [40, 40, 20]
    assert [len(chunk) for chunk in pace_of(time, size=10_000).chunks(WRITES)] == [10] * 10
    assert {len(chunk) for chunk in pace_of(time, rows=1).chunks(WRITES)} == {1}
    assert [write for chunk in pace_of(time, size=500).chunks(WRITES) for write in chunk] == WRITES


def test_the_size_of_a_write_is_that_of_its_key_names_and_values() -> None:
    assert size_of(WRITES[0]) == 6 + 4 + 90
