"""User histories: the distinct past queries of every user, newest first (paper, 3.2).

Queries without item-search intent, as known at that time, are left out. They are never a target, so as personal
evidence they would only take the place of useful ones.
"""

from __future__ import annotations

import ibis

from offline.arrays import BoolArray
from offline.evidence.ranked import RankedQueries
from offline.evidence.ranked_tables import collect, first_of_each, without
from offline.logs.coded import Logs


def user_histories_as_of(logs: Logs, as_of_day: int, limit: int, usable: BoolArray) -> RankedQueries:
    """Return the distinct queries of every user on the days before `as_of_day`, newest first.

    Searches of every source and clicks in the bar count.

    Args:
        logs: the log tables.
        as_of_day: the day of the evidence; it is not read.
        limit: the most queries kept for a user.
        usable: bool[queries], which queries may appear.

    Returns:
        One row for each user code; weights are zero.
    """
    past = without(logs.engine, logs.asked.filter(logs.asked.day < as_of_day), ~usable)
    newest = past.group_by("user", "query").agg(weight=ibis.literal(0), latest=past.latest.max())
    return collect(logs.engine, first_of_each(newest, "user", limit), logs.num_users)
