"""Ranked query lists of many owners at once, in compressed-row form.

Histories, anchors and user histories have one shape: for every owner (a video or a user) its queries, best first. They
share one container and one vectorised ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from offline.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class RankedQueries:
    """The queries of each of n owners, best first.

    Attributes:
        offsets: int64[n + 1]; the queries of owner i are ``queries[offsets[i]:offsets[i + 1]]``.
        queries: int64[m], codes into the logs' query vocabulary.
        weights: float32[m], the values that they were ranked by.
    """

    offsets: IntArray
    queries: IntArray
    weights: FloatArray

    @property
    def lengths(self) -> IntArray:
        """int64[n], the number of queries of each owner."""
        return np.diff(self.offsets)

    def take(self, owners: IntArray) -> RankedQueries:
        """Return the lists of these owners, in this order; -1 is an owner without queries."""
        starts = np.where(owners >= 0, self.offsets[owners], 0)
        lengths = np.where(owners >= 0, self.lengths[owners] if len(self.lengths) else 0, 0)
        offsets = offsets_of(lengths)
        positions = positions_within(offsets) + np.repeat(starts, lengths)
        return RankedQueries(offsets, self.queries[positions], self.weights[positions])

    def to_strings(self, vocabulary: pa.Array) -> pa.ListArray:
        """Return one list of strings for each owner."""
        return pa.ListArray.from_arrays(
            pa.array(self.offsets, pa.int32()), vocabulary.take(pa.array(self.queries, pa.int64()))
        )


def concatenated(parts: Sequence[RankedQueries]) -> RankedQueries:
    """Return the lists of all parts, in their order."""
    return RankedQueries(
        offsets_of(np.concatenate([part.lengths for part in parts])),
        np.concatenate([part.queries for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def offsets_of(lengths: IntArray) -> IntArray:
    """Return int64[n + 1], the offsets of rows with these lengths."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def positions_within(offsets: IntArray) -> IntArray:
    """Return int64[m], the position of every element in its own row, from 0."""
    return np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], np.diff(offsets))


def rank_queries(
    owners: IntArray,
    queries: IntArray,
    weights: FloatArray,
    timestamps: IntArray,
    *,
    num_owners: int,
    limit: int,
) -> RankedQueries:
    """Sum the weights of equal (owner, query) pairs and rank each owner's queries.

    Heaviest first; equal weights are ordered by the latest timestamp and then by query code, which is alphabetical,
    so the result does not depend on the order of the log rows.

    Args:
        owners: int64[m] in 0..num_owners - 1.
        queries: int64[m] query codes.
        weights: float32[m]; all zero means "newest first".
        timestamps: int64[m].
        num_owners: the number of rows of the result.
        limit: the most queries kept for an owner.
    """
    if len(owners) == 0:
        return RankedQueries(np.zeros(num_owners + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    order = np.lexsort((timestamps, queries, owners))
    owners, queries, weights, timestamps = owners[order], queries[order], weights[order], timestamps[order]
    is_first = np.ones(len(owners), bool)
    is_first[1:] = (owners[1:] != owners[:-1]) | (queries[1:] != queries[:-1])
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(owners)) - 1
    total = np.add.reduceat(weights.astype(np.float64), first)
    owners, queries, latest = owners[first], queries[first], timestamps[last]

    order = np.lexsort((queries, -latest, -total, owners))
    owners, queries, total = owners[order], queries[order], total[order]
    place = positions_within(offsets_of(np.bincount(owners, minlength=num_owners)))
    kept = place < limit
    lengths = np.bincount(owners[kept], minlength=num_owners)
    return RankedQueries(offsets_of(lengths), queries[kept], total[kept].astype(np.float32))
