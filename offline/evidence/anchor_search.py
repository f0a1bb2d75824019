"""The search for anchors: the nearest videos and the nearest queries of some videos (`offline.evidence.anchors`).

The two indexes are built once for a day. Videos are then searched in blocks, so that the memory does not grow with
their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offline.arrays import BoolArray, IntArray, Matrix
from offline.embedder.vectors import pair_similarity
from offline.evidence.anchors import AnchorCandidates, AnchorSettings, QuerySource, VideoSource
from offline.evidence.histories import issued_queries
from offline.evidence.nearest import IndexFigures, NearestVectors
from offline.evidence.ranked import RankedQueries, concatenated
from offline.logs.coded import Logs

_QUERIES_PER_NEIGHBOUR = 8
"""The most queries of one neighbour that are read; the rare queries of a busy video add time and no anchors."""
_VIDEOS_AT_ONCE = 1 << 15
"""Videos that are searched together; one has up to 160 queries of neighbours."""


@dataclass(frozen=True, slots=True)
class AnchorSearch:
    """The indexes of a day.

    Attributes:
        vectors: float32 [videos, d], unit rows of all videos, zero rows where nothing is known.
        query_vectors: float32 [queries, d], the same space.
        settings: how anchors are made; thresholds and weights do not matter here.
        videos: the videos with queries, None where this source is not wanted.
        queries: the queries that were issued on videos, None where this source is not wanted.
    """

    vectors: Matrix
    query_vectors: Matrix
    settings: AnchorSettings
    videos: _IssuedOn | None
    queries: _Issued | None

    def candidates(self, photos: IntArray, least: tuple[float, float] = (-np.inf, -np.inf)) -> AnchorCandidates:
        """Return the candidates of videos.

        Args:
            photos: int64[n], photo codes.
            least: the similarity that a neighbour, and that a nearest query must reach; fewer have to be read then.
        """
        return AnchorCandidates(
            len(photos),
            None if self.videos is None else self._of_videos(self.videos, photos, least[0]),
            None if self.queries is None else self._of_queries(self.queries, photos, least[1]),
        )

    def figures(self, photos: IntArray) -> dict[str, IndexFigures]:
        """Return kind, size and recall of each index by name of its source; recall is that of the first videos."""
        triggers = self.vectors[photos[self._known(photos)]]
        found: dict[str, IndexFigures] = {}
        if self.videos is not None:
            found["videos"] = self.videos.index.figures(triggers, self.settings.neighbours + 1)
        if self.queries is not None:
            found["queries"] = self.queries.index.figures(triggers, self.settings.query_candidates)
        return found

    def _known(self, photos: IntArray) -> IntArray:
        return np.flatnonzero(self.vectors[photos].any(axis=1))

    def _of_videos(self, source: _IssuedOn, photos: IntArray, least: float) -> VideoSource:
        """Search the videos nearest to each video among those with queries, and list their queries."""
        known, neighbours = self._known(photos), self.settings.neighbours
        # One more than needed, because a video that has queries finds itself.
        nearest = source.index.search(self.vectors[photos[known]], neighbours + 1)
        found = np.where(nearest.places >= 0, source.owners[nearest.places] if len(source.owners) else -1, -1)
        others = (found >= 0) & (found != photos[known][:, None])  # [known, width]
        others &= np.cumsum(others, axis=1) <= neighbours
        others &= nearest.similarity >= least
        rows = np.broadcast_to(known[:, None], found.shape)[others]
        similarity = nearest.similarity[others]
        lists = source.issued.take(found[others])
        pairs = np.repeat(np.arange(len(rows)), lists.lengths)
        relevance = pair_similarity(self.vectors, photos[rows[pairs]], self.query_vectors, lists.queries)
        score = similarity[pairs] * lists.weights * np.maximum(relevance, 0)
        return VideoSource(rows[pairs], lists.queries, similarity[pairs], score)

    def _of_queries(self, source: _Issued, photos: IntArray, least: float) -> QuerySource:
        """Search the queries that are nearest to each video and occur on another one."""
        known, size = self._known(photos), len(self.query_vectors)
        found = source.index.search(self.vectors[photos[known]], self.settings.query_candidates)
        near = (found.places >= 0) & (found.similarity >= least)
        owner = np.broadcast_to(known[:, None], found.places.shape)[near]
        queries, similarity = source.candidates[found.places[near]], found.similarity[near]
        wanted = photos[owner] * size + queries
        place = np.minimum(np.searchsorted(source.pairs, wanted), max(len(source.pairs) - 1, 0))
        own = np.where(source.pairs[place] == wanted, source.times[place], 0)
        count = source.total[queries] - own
        elsewhere = count > 0
        return QuerySource(owner[elsewhere], queries[elsewhere], similarity[elsewhere], count[elsewhere])


@dataclass(frozen=True, slots=True)
class _IssuedOn:
    """The videos with queries.

    Attributes:
        issued: the most frequent queries of every video.
        owners: int64, photo codes of the videos that have queries and a vector.
        index: their vectors.
    """

    issued: RankedQueries
    owners: IntArray
    index: NearestVectors


@dataclass(frozen=True, slots=True)
class _Issued:
    """The queries that were issued on videos.

    Attributes:
        pairs: int64, photo code x the number of queries + query code of every video and query, in rising order.
        times: int64, the events of each pair.
        total: int64[queries], the events of each query.
        candidates: int64, codes of the queries that have events and a vector.
        index: their vectors.
    """

    pairs: IntArray
    times: IntArray
    total: IntArray
    candidates: IntArray
    index: NearestVectors


def open_search(
    logs: Logs,
    vectors: Matrix,
    query_vectors: Matrix,
    as_of_day: int,
    settings: AnchorSettings,
    usable: BoolArray,
    wanted: tuple[bool, bool] = (True, True),
) -> AnchorSearch:
    """Build the indexes of a day.

    Args:
        logs: the log tables; only days before `as_of_day` are read.
        vectors: float32 [videos, d], unit rows of all videos, zero rows where nothing is known.
        query_vectors: float32 [queries, d], the same space.
        as_of_day: the day that the evidence is for.
        settings: how anchors are made.
        usable: bool[queries], which queries may appear.
        wanted: which of the two sources are searched.
    """
    videos = queries = None
    if wanted[0]:
        issued = issued_queries(logs, as_of_day, settings.window_days, _QUERIES_PER_NEIGHBOUR, usable)
        owners = np.flatnonzero((issued.lengths > 0) & vectors.any(axis=1))
        videos = _IssuedOn(issued, owners, NearestVectors(vectors, owners))
    if wanted[1]:
        issued = issued_queries(logs, as_of_day, settings.window_days, max(len(logs.queries), 1), usable)
        queries = _issued(issued, query_vectors)
    return AnchorSearch(vectors, query_vectors, settings, videos, queries)


def _issued(issued: RankedQueries, query_vectors: Matrix) -> _Issued:
    size = len(query_vectors)
    times = issued.weights.astype(np.int64)
    total = np.bincount(issued.queries, weights=times, minlength=size).astype(np.int64)
    candidates = np.flatnonzero((total > 0) & query_vectors.any(axis=1))
    pairs = np.repeat(np.arange(len(issued.lengths)), issued.lengths) * size + issued.queries
    order = np.argsort(pairs)
    return _Issued(pairs[order], times[order], total, candidates, NearestVectors(query_vectors, candidates))


def anchors_of(search: AnchorSearch, photos: IntArray) -> RankedQueries:
    """Return the anchors of videos by the settings of the search.

    Args:
        search: of the day that the evidence is for.
        photos: int64[n] photo codes.

    Returns:
        n rows, in the order of `photos`; weights are scores.
    """
    settings = search.settings
    least = (settings.similarity_threshold, settings.query_threshold)
    return concatenated([search.candidates(block, least).choose(settings) for block in _blocks(photos)])


def _blocks(photos: IntArray) -> Sequence[IntArray]:
    """Return parts of the videos, in order; one empty part of none."""
    return [photos[start : start + _VIDEOS_AT_ONCE] for start in range(0, max(len(photos), 1), _VIDEOS_AT_ONCE)]
