"""User histories: what each user searched or clicked before, and which of it belongs to a trigger (paper, 3.2).

The stored part is the user's own past queries, newest first. Which of them enter the personal field depends on the
trigger: only those whose similarity with it is over a threshold. Online that is `evidence.embedding.filter_personal`;
here the same rule is applied to many (user, trigger) pairs at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evidence.embedding import PERSONAL_LIMIT, PERSONAL_THRESHOLD
from offline.embedder import Matrix, pair_similarity
from offline.logs import Logs
from offline.ranked import IntArray, RankedQueries, offsets_of, positions_within, rank_queries


@dataclass(frozen=True, slots=True)
class UserSettings:
    """How user histories are made.

    Attributes:
        limit: past queries kept for each user.
        personal_threshold: cosine with the trigger that a past query must be over to become personal evidence.
        personal_limit: queries in the personal field.
    """

    limit: int = 20
    personal_threshold: float = PERSONAL_THRESHOLD
    personal_limit: int = PERSONAL_LIMIT


def user_histories_as_of(logs: Logs, as_of_day: int, limit: int) -> RankedQueries:
    """Every user's distinct queries of the days before `as_of_day`, newest first.

    Searches of the search box, searches after a video and clicks in the bar count; a reformulation counts too, being
    what the user meant in the end. Owners are user codes.
    """
    events = logs.events
    past = events.day < as_of_day
    return rank_queries(
        events.user[past],
        events.query[past],
        np.zeros(int(past.sum()), np.float32),
        events.ts[past],
        num_owners=logs.num_users,
        limit=limit,
    )


def filter_personal_rows(
    trigger_vectors: Matrix, photos: IntArray, pasts: RankedQueries, query_vectors: Matrix, settings: UserSettings
) -> RankedQueries:
    """For each row the past queries that resemble its trigger, most similar first, newest of equals first.

    Args:
        trigger_vectors: float32 [videos, d].
        photos: int64[n] photo code of each row.
        pasts: n lists of past queries, newest first.
        query_vectors: float32 [queries, d].
        settings: threshold and limit.

    Returns:
        n rows; weights are similarities.
    """
    rows = np.repeat(np.arange(len(photos)), pasts.lengths)
    similarity = pair_similarity(trigger_vectors, photos[rows], query_vectors, pasts.queries)
    over = similarity > settings.personal_threshold
    rows, queries, similarity = rows[over], pasts.queries[over], similarity[over]
    recency = positions_within(pasts.offsets)[over]

    order = np.lexsort((recency, -similarity, rows))
    rows, queries, similarity = rows[order], queries[order], similarity[order]
    kept = positions_within(offsets_of(np.bincount(rows, minlength=len(photos)))) < settings.personal_limit
    lengths = np.bincount(rows[kept], minlength=len(photos))
    return RankedQueries(offsets_of(lengths), queries[kept], similarity[kept])
