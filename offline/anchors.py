"""Query anchors: the queries of the nearest other videos (paper, 3.2).

A new video has no queries of its own, but its neighbours do. Neighbours are found with FAISS by inner product of unit
vectors among the videos that have queries, the trigger itself left out; a neighbour's query scores

    similarity(trigger, neighbour) x count(neighbour, query) x similarity(trigger, query)

summed over the neighbours that share it. The last factor keeps back what is asked about the neighbour alone (its own
model, its own colour); on the demo world it raises the share of targets among six anchors from .107 to .121.
Neighbours under the similarity threshold are not asked: a misleading anchor costs more than a missing one.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from offline.embedder import Matrix, pair_similarity
from offline.histories import issued_queries
from offline.logs import BoolArray, Logs
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

    neighbours: int = 20
    similarity_threshold: float = 0.5
    window_days: int = 14
    limit: int = 6


def anchors_as_of(
    logs: Logs,
    vectors: Matrix,
    query_vectors: Matrix,
    photos: IntArray,
    as_of_day: int,
    settings: AnchorSettings,
    usable: BoolArray,
) -> RankedQueries:
    """The anchors of these videos as they stand at the start of `as_of_day`.

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
    asked = issued_queries(logs, as_of_day, settings.window_days, _QUERIES_PER_NEIGHBOUR, usable)
    owners = np.flatnonzero((asked.lengths > 0) & vectors.any(axis=1))
    triggers, neighbours, similarity = _nearest(vectors, photos, owners, settings)

    lists = asked.take(neighbours)
    pairs = np.repeat(np.arange(len(neighbours)), lists.lengths)
    relevance = pair_similarity(vectors, photos[triggers[pairs]], query_vectors, lists.queries)
    return rank_queries(
        triggers[pairs],
        lists.queries,
        similarity[pairs] * lists.weights * np.maximum(relevance, 0),
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
    usable &= np.any(vectors[photos] != 0, axis=1, keepdims=True)
    usable &= np.cumsum(usable, axis=1) <= settings.neighbours
    rows = np.broadcast_to(np.arange(len(photos))[:, None], found.shape)
    return rows[usable], found[usable], similarity[usable]
