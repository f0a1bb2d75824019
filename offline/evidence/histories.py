"""Histories: the queries that users issued on a video (paper, 3.2).

A query counts for a video when it was searched right after watching the video, or clicked in its bar. The window ends
before the day of the evidence: evidence for day d is what a job at midnight could know. Queries without item-search
intent, as known at that time, are left out, because they would take the place of useful ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from offline.arrays import BoolArray
from offline.evidence.ranked import RankedQueries
from offline.evidence.ranked_tables import collect, first_of_each, without
from offline.logs.coded import Logs


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """How histories are made.

    Attributes:
        window_days: the number of days before the day of the evidence that are read.
        limit: the most queries kept for a video.
    """

    window_days: int = 14
    limit: int = 10


def issued_queries(logs: Logs, as_of_day: int, window_days: int, limit: int, usable: BoolArray) -> RankedQueries:
    """Return the queries issued on every video in the window before a day, most frequent first.

    Args:
        logs: the log tables.
        as_of_day: the day of the evidence; it is not part of the window.
        window_days: length of the window.
        limit: the most queries kept for a video.
        usable: bool[queries], which queries may appear.

    Returns:
        One row for each photo code; weights are counts.
    """
    days = logs.issued.filter(logs.issued.day < as_of_day, logs.issued.day >= as_of_day - window_days)
    days = without(logs.engine, days, ~usable)
    counted = days.group_by("photo", "query").agg(weight=days.times.sum(), latest=days.latest.max())
    return collect(logs.engine, first_of_each(counted, "photo", limit), logs.num_photos)


def histories_as_of(logs: Logs, as_of_day: int, settings: HistorySettings, usable: BoolArray) -> RankedQueries:
    """Return the histories field of every video at the start of `as_of_day`."""
    return issued_queries(logs, as_of_day, settings.window_days, settings.limit, usable)
