"""Query anchors: the queries of the nearest other videos (paper, 3.2).

A new video has no queries of its own, but its neighbours do. Neighbours are found with FAISS by inner product of unit
vectors among the videos that have queries, the trigger itself left out; a neighbour's query scores similarity x count,
summed over the neighbours that share it. Neighbours under the similarity threshold are not asked: a misleading anchor
costs more than a missing one.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from offline.embedder import Matrix
from offline.histories import issued_queries
from offline.logs import Logs
from offline.ranked import IntArray, RankedQueries, rank_queries

_QUERIES_PER_NEIGHBOUR = 8
"""Queries that one neighbour may contribute; the long tail of a busy video adds time and no anchors."""


@dataclass(frozen=True, slots=True)
class AnchorSettings:
    """How anchors are made.

    Attributes:
        neighbours: how many nearest videos are asked.
        similarity_threshold: cosine that a neighbour must reach.
        window_days: how many days of queries before the day of the evidence count.
        limit: anchors kept for each video.
    """

    neighbours: int = 12
    similarity_threshold: float = 0.35
    window_days: int = 14
    limit: int = 6


def anchors_as_of(
    logs: Logs, vectors: Matrix, photos: IntArray, as_of_day: int, settings: AnchorSettings
) -> RankedQueries:
    """The anchors of these videos as they stand at the start of `as_of_day`.

    Args:
        logs: the log tables; only days before `as_of_day` are read.
        vectors: float32 [videos, d], unit rows of all videos, zero rows where nothing is known.
        photos: int64[n] photo codes, the triggers.
        as_of_day: the day that the evidence is for.
        settings: how anchors are made.

    Returns:
        n rows, in the order of `photos`; weights are scores.
    """
    asked = issued_queries(logs, as_of_day, settings.window_days, _QUERIES_PER_NEIGHBOUR)
    owners = np.flatnonzero((asked.lengths > 0) & vectors.any(axis=1))
    triggers, neighbours, similarity = _nearest(vectors, photos, owners, settings)

    lists = asked.take(neighbours)
    pairs = np.repeat(np.arange(len(neighbours)), lists.lengths)
    return rank_queries(
        triggers[pairs],
        lists.queries,
        similarity[pairs] * lists.weights,
        np.zeros(len(pairs), np.int64),
        num_owners=len(photos),
        limit=settings.limit,
    )


def _nearest(
    vectors: Matrix, photos: IntArray, owners: IntArray, settings: AnchorSettings
) -> tuple[IntArray, IntArray, Matrix]:
    """Flat (row of trigger, photo code of neighbour, similarity) triples over the threshold."""
    if len(owners) == 0 or len(photos) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors[owners]))
    # One more than is needed, because a trigger that has queries finds itself.
    width = min(settings.neighbours + 1, len(owners))
    similarity, place = index.search(np.ascontiguousarray(vectors[photos]), width)  # [n, width] both
    found = owners[place]
    usable = (found != photos[:, None]) & (similarity >= settings.similarity_threshold)
    usable &= np.cumsum(usable, axis=1) <= settings.neighbours
    rows = np.broadcast_to(np.arange(len(photos))[:, None], found.shape)
    return rows[usable], found[usable], similarity[usable]
