"""Anchors: queries that are likely on a video, found by the shared space of videos and queries (paper, 3.2).

There are two sources. Each gives a ranked list, and the lists are fused.

Queries of the nearest videos. A new video has no queries of its own, but its neighbours do. A query of a neighbour
scores, summed over the neighbours that share it,

    similarity(video, neighbour) x count(neighbour, query) x similarity(video, query)

The last factor lowers queries about the neighbour alone (its own model, its own colour). Neighbours under the
similarity threshold are ignored: a misleading anchor costs more than a missing one.

Queries nearest to the video. Every query that was issued on other videos is a candidate, and scores

    similarity(video, query) + popularity x log(1 + count(query))

Fusion is by ranks: a query scores (1 - w) / (r0 + its rank among the first) + w / (r0 + its rank among the second).
A video's own queries never enter, unless they were issued on other videos too; they are its histories.

The search is in `offline.evidence.anchor_search`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offline.arrays import FloatArray, IntArray
from offline.evidence.ranked import RankedQueries, positions_within, rank_queries

_POOL = 4
"""Candidates of each source for each anchor kept, before the sources are fused."""
_RANK_OFFSET = 10.0
"""r0: how slowly the score of a rank falls."""


@dataclass(frozen=True, slots=True)
class AnchorSettings:
    """How anchors are made.

    Attributes:
        neighbours: the number of nearest videos that are read.
        similarity_threshold: the cosine that a neighbour must reach.
        query_weight: w, the weight of the queries nearest to the video; 0 leaves this source out, 1 the other one.
        query_candidates: the number of nearest queries that are read.
        query_threshold: the cosine that a nearest query must reach.
        popularity: the weight of the logarithm of a query's count.
        window_days: the number of days before the day of the evidence whose queries count.
        limit: the most anchors kept for a video.
    """

    neighbours: int = 20
    similarity_threshold: float = 0.5
    query_weight: float = 0.0
    query_candidates: int = 50
    query_threshold: float = 0.0
    popularity: float = 0.0
    window_days: int = 14
    limit: int = 6


@dataclass(frozen=True, slots=True)
class VideoSource:
    """The queries of the nearest videos, one row for each (video, neighbour, query); all arrays have the same length.

    Attributes:
        owner: int64, the place of the video among the triggers.
        query: int64, codes.
        similarity: float32, of the video and its neighbour.
        score: float32, similarity x count x similarity of the video and the query.
    """

    owner: IntArray
    query: IntArray
    similarity: FloatArray
    score: FloatArray


@dataclass(frozen=True, slots=True)
class QuerySource:
    """The queries nearest to each video, one row for each (video, query); all arrays have the same length.

    Attributes:
        owner: int64, the place of the video among the triggers.
        query: int64, codes.
        similarity: float32, of the video and the query.
        count: int64, the events of the query on other videos.
    """

    owner: IntArray
    query: IntArray
    similarity: FloatArray
    count: IntArray


@dataclass(frozen=True, slots=True)
class AnchorCandidates:
    """What the indexes found for n videos. Thresholds and weights choose anchors from it without another search.

    Attributes:
        num_videos: n.
        by_videos: the first source, None where it is not wanted.
        by_queries: the second source, None where it is not wanted.
    """

    num_videos: int
    by_videos: VideoSource | None
    by_queries: QuerySource | None

    def choose(self, settings: AnchorSettings) -> RankedQueries:
        """Return the anchors of each video by these settings; weights are scores."""
        lists: list[tuple[RankedQueries, float]] = []
        pool = settings.limit * _POOL
        if self.by_videos is not None and settings.query_weight < 1:
            source = self.by_videos
            near = source.similarity >= settings.similarity_threshold
            ranked = _ranked(source.owner[near], source.query[near], source.score[near], self.num_videos, pool)
            lists.append((ranked, 1 - settings.query_weight))
        if self.by_queries is not None and settings.query_weight > 0:
            nearest = self.by_queries
            near = nearest.similarity >= settings.query_threshold
            score = nearest.similarity + np.float32(settings.popularity) * np.log1p(nearest.count).astype(np.float32)
            ranked = _ranked(nearest.owner[near], nearest.query[near], score[near], self.num_videos, pool)
            lists.append((ranked, settings.query_weight))
        return fuse(lists, settings.limit)


def fuse(lists: list[tuple[RankedQueries, float]], limit: int) -> RankedQueries:
    """Return the first `limit` queries of each owner by the weighted sum of their reciprocal ranks.

    Args:
        lists: ranked queries of the same owners, each with its weight.
        limit: the most queries kept for an owner.
    """
    owners, queries, scores = [], [], []
    for ranked, weight in lists:
        owners.append(np.repeat(np.arange(len(ranked.lengths)), ranked.lengths))
        queries.append(ranked.queries)
        scores.append((weight / (_RANK_OFFSET + positions_within(ranked.offsets))).astype(np.float32))
    return _ranked(
        np.concatenate(owners), np.concatenate(queries), np.concatenate(scores), len(lists[0][0].lengths), limit
    )


def _ranked(owners: IntArray, queries: IntArray, scores: FloatArray, num_owners: int, limit: int) -> RankedQueries:
    """Return the queries of each owner by score; equal ones are summed, and ties are in alphabetical order."""
    return rank_queries(owners, queries, scores, np.zeros(len(owners), np.int64), num_owners=num_owners, limit=limit)
