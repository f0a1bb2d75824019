"""The logging policy: which queries the bar showed before there was a generator.

Three retrievers fill a short list from the queries of previous days: popular queries of the product type, queries of
this video or product, and a rare query to explore. None uses the user. The list is ordered by a noisy score, the first
three are shown, the rest is logged as retrieved but not exposed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

POLICIES = ("popular", "retrieved", "explore")
SHOWN = 3
EXAMINED = np.array([0.92, 0.62, 0.40])
"""Probability that a user looks at each position: the position bias."""
_SLOTS = np.array([0, 1, 1, 1, 2], dtype=np.int32)
_SCORES = np.array([1.0, 1.6, 0.4])
_DECAY = 0.8
_FLAT_RANKS = 3.5


class Pool:
    """Counts of queries under a key (a type, a product, a video), decaying from day to day."""

    def __init__(self, keys: int, width: int) -> None:
        """Start without counts for `keys` keys; each keeps its `width` most frequent queries."""
        self._keys, self._width = keys, width
        self._pairs: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._counts: NDArray[np.float64] = np.empty(0, dtype=np.float64)

    def update(self, keys: NDArray[np.integer], queries: NDArray[np.integer]) -> None:
        """Count the (key, query) events of a day."""
        pairs = np.concatenate([self._pairs, keys.astype(np.int64) << 32 | queries.astype(np.int64)])
        counts = np.concatenate([self._counts * _DECAY, np.ones(len(keys))])
        self._pairs, inverse = np.unique(pairs, return_inverse=True)
        self._counts = np.bincount(inverse, weights=counts).astype(np.float64)
        alive = self._counts > 0.3
        self._pairs, self._counts = self._pairs[alive], self._counts[alive]

    def top(self, skip: int = 0) -> NDArray[np.int32]:
        """Return int32[keys, width], the most frequent queries of each key from rank `skip` on, padded with -1."""
        keys = (self._pairs >> 32).astype(np.int64)
        order = np.lexsort((self._pairs, -self._counts, keys))
        keys, queries = keys[order], (self._pairs[order] & 0xFFFFFFFF).astype(np.int32)
        starts = np.searchsorted(keys, np.arange(self._keys))
        rank = np.arange(len(keys)) - starts[keys] - skip
        fits = (rank >= 0) & (rank < self._width)
        out = np.full((self._keys, self._width), -1, dtype=np.int32)
        out[keys[fits], rank[fits]] = queries[fits]
        return out


@dataclass(slots=True)
class LoggingPolicy:
    """The retrievers of the bar, updated at the end of every day."""

    types: int
    products: int
    videos: int
    by_type: Pool = field(init=False)
    by_product: Pool = field(init=False)
    by_video: Pool = field(init=False)

    def __post_init__(self) -> None:
        """Make the empty pools."""
        self.by_type = Pool(self.types, 30)
        self.by_product = Pool(self.products, 10)
        self.by_video = Pool(self.videos, 8)

    def observe(
        self,
        kinds: NDArray[np.integer],
        products: NDArray[np.integer],
        videos: NDArray[np.integer],
        queries: NDArray[np.int32],
        safe: NDArray[np.bool_],
    ) -> None:
        """Count the queries of a day; `videos` is -1 where no video was watched. Unsafe ones count for their video."""
        self.by_type.update(kinds[safe], queries[safe])
        self.by_product.update(products[safe], queries[safe])
        seen = videos >= 0
        self.by_video.update(videos[seen], queries[seen])

    def fill(
        self,
        kinds: NDArray[np.integer],
        products: NDArray[np.integer],
        videos: NDArray[np.integer],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the candidates for N impressions.

        Returns:
            (queries int32[N, 5], policies int32[N, 5]) in the order of exposure: the first three are shown. -1 is an
            empty place; no query occurs twice in a row.
        """
        count = len(kinds)
        popular, rare = self.by_type.top(), self.by_type.top(skip=30)
        of_product, of_video = self.by_product.top(), self.by_video.top()
        columns = []
        for slot in _SLOTS:
            if POLICIES[slot] == "popular":
                columns.append(_pick(popular[kinds], rng))
            elif POLICIES[slot] == "explore":
                columns.append(_pick(rare[kinds], rng, flat=True))
            else:
                own = of_video[videos]
                use_own = (own[:, 0] >= 0) & (rng.random(count) < 0.6)
                columns.append(_pick(np.where(use_own[:, None], _widen(own, 10), of_product[products]), rng))
        queries = np.stack(columns, axis=1)  # [N, 5]
        for column in range(1, queries.shape[1]):
            again = (queries[:, :column] == queries[:, column : column + 1]).any(axis=1)
            queries[again, column] = -1
        score = _SCORES[_SLOTS] + rng.gumbel(scale=0.6, size=queries.shape)
        score[queries < 0] = -np.inf
        order = np.argsort(-score, axis=1, kind="stable")
        return np.take_along_axis(queries, order, axis=1), _SLOTS[order]


def _widen(matrix: NDArray[np.int32], width: int) -> NDArray[np.int32]:
    """Pad with -1 on the right to `width` columns."""
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])), constant_values=-1)


def _pick(pool: NDArray[np.int32], rng: np.random.Generator, *, flat: bool = False) -> NDArray[np.int32]:
    """Draw one query of each row, early ranks more often unless `flat`; -1 when the row is empty."""
    size = (pool >= 0).sum(axis=1)
    draw = rng.random(len(pool)) if flat else np.minimum(rng.exponential(1.0 / _FLAT_RANKS, len(pool)), 0.999)
    column = (draw * size).astype(np.int64)
    return np.asarray(pool[np.arange(len(pool)), column])
