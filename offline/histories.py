"""RAG histories: the queries that people issued on a trigger (paper, 3.2).

A query counts for a video when it was searched after watching it, or clicked in its bar. The window trails the day
for which the evidence is made and never includes it: evidence for day d is what a job at midnight could know. Queries
without item-search intent, as far as it was known by then, are left out: they only take the place of useful ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline.logs import BoolArray, Logs
from offline.ranked import RankedQueries, rank_queries


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """How histories are made.

    Attributes:
        window_days: how many days before the day of the evidence are looked at.
        limit: queries kept for each video.
    """

    window_days: int = 14
    limit: int = 6


def issued_queries(logs: Logs, as_of_day: int, window_days: int, limit: int, usable: BoolArray) -> RankedQueries:
    """For every video the queries issued on it in days ``as_of_day - window_days .. as_of_day - 1``.

    Most frequent first. Owners are photo codes, weights are counts; `usable`, bool[queries], says which may appear.
    """
    events = logs.events
    inside = (events.day < as_of_day) & (events.day >= as_of_day - window_days)
    inside &= events.on_trigger & usable[events.query]
    return rank_queries(
        events.photo[inside],
        events.query[inside],
        np.ones(int(inside.sum()), np.float32),
        events.ts[inside],
        num_owners=logs.num_photos,
        limit=limit,
    )


def histories_as_of(logs: Logs, as_of_day: int, settings: HistorySettings, usable: BoolArray) -> RankedQueries:
    """The histories field of every video as it stands at the start of ``as_of_day``."""
    return issued_queries(logs, as_of_day, settings.window_days, settings.limit, usable)
