"""Anchors: the queries of the nearest other videos (paper, 3.2).

A new video has no queries of its own, but its neighbours do. FAISS finds the neighbours by inner product of unit
vectors among the other videos that have queries. A query of a neighbour scores

    similarity(trigger, neighbour) x count(neighbour, query) x similarity(trigger, query)

summed over the neighbours that share it. The last factor lowers queries about the neighbour alone (its own model, its
own colour); on the demo world it raises the share of targets among six anchors from .107 to .121. Neighbours under the
similarity threshold are ignored: a misleading anchor costs more than a missing one.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np

from offline.arrays import BoolArray, IntArray, Matrix
from offline.embedder import pair_similarity
from offline.evidence.histories import issued_queries
from offline.evidence.ranked import RankedQueries, rank_queries
from offline.logs.coded import Logs

_QUERIES_PER_NEIGHBOUR = 8
"""The most queries of one neighbour that are read; the rare queries of a busy video add time and no anchors."""


@dataclass(frozen=True, slots=True)
class AnchorSettings:
    """How anchors are made.

    Attributes:
        neighbours: the number of nearest videos that are read.
        similarity_threshold: the cosine that a neighbour must reach.
        window_days: the number of days before the day of the evidence whose queries count.
        limit: the most anchors kept for a video.
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
    issued = issued_queries(logs, as_of_day, settings.window_days, _QUERIES_PER_NEIGHBOUR, usable)
    owners = np.flatnonzero((issued.lengths > 0) & vectors.any(axis=1))
    triggers, neighbours, similarity = _nearest(vectors, photos, owners, settings)

    lists = issued.take(neighbours)
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
    """Return (row of trigger, photo code of neighbour, similarity) of every pair over the threshold, as flat arrays."""
    if len(owners) == 0 or len(photos) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors[owners]))
    # One more than needed, because a video that has queries finds itself.
    width = min(settings.neighbours + 1, len(owners))
    similarity, place = index.search(np.ascontiguousarray(vectors[photos]), width)  # [n, width] both
    found = owners[place]
    usable = (found != photos[:, None]) & (similarity >= settings.similarity_threshold)
    usable &= np.any(vectors[photos] != 0, axis=1, keepdims=True)
    usable &= np.cumsum(usable, axis=1) <= settings.neighbours
    rows = np.broadcast_to(np.arange(len(photos))[:, None], found.shape)
    return rows[usable], found[usable], similarity[usable]
