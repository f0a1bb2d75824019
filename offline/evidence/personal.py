"""Which of a user's past queries are personal evidence for a video (paper, 3.2).

The store holds the past queries of each user, newest first. Those whose similarity with the video is over a threshold
enter the personal field. Online that is `evidence.embedding.filter_personal`; here the same rule is applied to many
(user, video) pairs at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evidence.assemble import MAX_LIST_QUERIES
from evidence.embedding import PERSONAL_LIMIT, PERSONAL_THRESHOLD
from offline.arrays import IntArray, Matrix
from offline.embedder.vectors import pair_similarity
from offline.evidence.ranked import RankedQueries, offsets_of, positions_within


@dataclass(frozen=True, slots=True)
class UserSettings:
    """How user histories are made.

    Attributes:
        limit: the most past queries kept for a user. Serving reads as many (`evidence.assemble`).
        personal_threshold: a past query whose cosine with the video is greater is personal evidence.
        personal_limit: the most queries in the personal field.
    """

    limit: int = MAX_LIST_QUERIES
    personal_threshold: float = PERSONAL_THRESHOLD
    personal_limit: int = PERSONAL_LIMIT


def filter_personal_rows(
    trigger_vectors: Matrix, photos: IntArray, pasts: RankedQueries, query_vectors: Matrix, settings: UserSettings
) -> RankedQueries:
    """Return the past queries of each row that resemble its video, most similar first, the newer one first on a tie.

    Args:
        trigger_vectors: float32 [videos, d].
        photos: int64[n], the photo code of each row.
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
