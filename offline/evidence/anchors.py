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
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from offline.arrays import BoolArray, FloatArray, IntArray, Matrix
from offline.embedder.vectors import pair_similarity
from offline.evidence.histories import issued_queries
from offline.evidence.nearest import IndexFigures, NearestVectors
from offline.evidence.ranked import RankedQueries, positions_within, rank_queries
from offline.logs.coded import Logs

_QUERIES_PER_NEIGHBOUR = 8
"""The most queries of one neighbour that are read; the rare queries of a busy video add time and no anchors."""
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
        indexes: by name of the source, the kind, size and recall of its index.
    """

    num_videos: int
    by_videos: VideoSource | None
    by_queries: QuerySource | None
    indexes: dict[str, IndexFigures] = field(default_factory=dict)

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


def anchors_as_of(
    logs: Logs,
    vectors: Matrix,
    query_vectors: Matrix,
    photos: IntArray,
    as_of_day: int,
    settings: AnchorSettings,
    usable: BoolArray,
) -> RankedQueries:
    """Return the anchors of videos at the start of `as_of_day`.

    Args:
        logs: the log tables; only days before `as_of_day` are read.
        vectors: float32 [videos, d], unit rows of all videos, zero rows where nothing is known.
        query_vectors: float32 [queries, d], the same space.
        photos: int64[n] photo codes, the triggers.
        as_of_day: the day that the evidence is for.
        settings: how anchors are made.
        usable: bool[queries], which queries may appear.

    Returns:
        n rows, in the order of `photos`; weights are scores.
    """
    wanted = (settings.query_weight < 1, settings.query_weight > 0)
    return find_candidates(logs, vectors, query_vectors, photos, as_of_day, settings, usable, wanted).choose(settings)


def find_candidates(
    logs: Logs,
    vectors: Matrix,
    query_vectors: Matrix,
    photos: IntArray,
    as_of_day: int,
    settings: AnchorSettings,
    usable: BoolArray,
    wanted: tuple[bool, bool] = (True, True),
) -> AnchorCandidates:
    """Search both sources; the arguments are those of `anchors_as_of`.

    Of the settings only `neighbours`, `query_candidates` and `window_days` matter here.
    """
    by_videos = by_queries = None
    indexes: dict[str, IndexFigures] = {}
    if wanted[0]:
        issued = issued_queries(logs, as_of_day, settings.window_days, _QUERIES_PER_NEIGHBOUR, usable)
        by_videos, indexes["videos"] = _video_source(issued, vectors, query_vectors, photos, settings.neighbours)
    if wanted[1]:
        issued = issued_queries(logs, as_of_day, settings.window_days, max(len(logs.queries), 1), usable)
        photo = np.repeat(np.arange(logs.num_photos), issued.lengths)
        times = issued.weights.astype(np.int64)
        by_queries, indexes["queries"] = _query_source(
            photo, issued.queries, times, vectors, query_vectors, photos, settings.query_candidates
        )
    return AnchorCandidates(len(photos), by_videos, by_queries, indexes)


def _video_source(
    issued: RankedQueries, vectors: Matrix, query_vectors: Matrix, photos: IntArray, neighbours: int
) -> tuple[VideoSource, IndexFigures]:
    """Search the videos nearest to each video among those with queries, and list their queries."""
    owners = np.flatnonzero((issued.lengths > 0) & vectors.any(axis=1))
    known = np.flatnonzero(vectors[photos].any(axis=1))
    # One more than needed, because a video that has queries finds itself.
    index = NearestVectors(vectors[owners])
    nearest = index.search(vectors[photos[known]], neighbours + 1)
    found = np.where(nearest.places >= 0, owners[nearest.places] if len(owners) else -1, -1)  # [known, width]
    others = (found >= 0) & (found != photos[known][:, None])
    others &= np.cumsum(others, axis=1) <= neighbours
    rows = np.broadcast_to(known[:, None], found.shape)[others]
    similarity = nearest.similarity[others]
    lists = issued.take(found[others])
    pairs = np.repeat(np.arange(len(rows)), lists.lengths)
    relevance = pair_similarity(vectors, photos[rows[pairs]], query_vectors, lists.queries)
    score = similarity[pairs] * lists.weights * np.maximum(relevance, 0)
    source = VideoSource(rows[pairs], lists.queries, similarity[pairs], score)
    return source, index.figures(vectors[photos[known]], neighbours + 1)


def _query_source(
    photo: IntArray,
    query: IntArray,
    times: IntArray,
    vectors: Matrix,
    query_vectors: Matrix,
    photos: IntArray,
    width: int,
) -> tuple[QuerySource, IndexFigures]:
    """Search the queries that are nearest to each video and occur on another one.

    `times[i]` is how often `query[i]` was issued on `photo[i]`; no pair occurs twice.
    """
    size = len(query_vectors)
    total = np.bincount(query, weights=times, minlength=size).astype(np.int64)
    candidates = np.flatnonzero((total > 0) & query_vectors.any(axis=1))
    known = np.flatnonzero(vectors[photos].any(axis=1))
    index = NearestVectors(query_vectors[candidates])
    found = index.search(vectors[photos[known]], width)
    near = found.places >= 0
    owner = np.broadcast_to(known[:, None], found.places.shape)[near]
    queries, similarity = candidates[found.places[near]], found.similarity[near]

    pairs = photo * size + query
    order = np.argsort(pairs)
    own, own_count = pairs[order], times[order]
    wanted = photos[owner] * size + queries
    place = np.minimum(np.searchsorted(own, wanted), max(len(own) - 1, 0))
    own_events = np.where(own[place] == wanted, own_count[place], 0) if len(own) else np.zeros(0, np.int64)
    count = total[queries] - own_events
    elsewhere = count > 0
    source = QuerySource(owner[elsewhere], queries[elsewhere], similarity[elsewhere], count[elsewhere])
    return source, index.figures(vectors[photos[known]], width)


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
