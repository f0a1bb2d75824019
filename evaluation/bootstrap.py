"""Confidence intervals of figures: percentile bootstrap over videos.

Clicks on one video share its evidence and often the query, so they are not independent. Whole videos are resampled
instead of single clicks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import Scores

RESAMPLES = 1000
LEVEL = 0.95

AT_ONCE = 50
"""Resamples whose weights exist at the same time: 800 bytes a cluster, where all of them would need 16 KB."""


def resamples(count: int, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """Draw `count` clusters with replacement, RESAMPLES times.

    The draws are those of one call for all resamples, since they come from one generator in the same order.

    Args:
        count: the number of clusters.
        seed: of the resampling.

    Yields:
        int64 [resamples of a block, count], how often each cluster is in each resample.
    """
    generator = np.random.default_rng(seed)
    shares = np.full(count, 1.0 / count)
    for first in range(0, RESAMPLES, AT_ONCE):
        yield generator.multinomial(count, shares, size=min(AT_ONCE, RESAMPLES - first))


def intervals(values: Scores, clusters: Sequence[str], seed: int = 0) -> Scores:
    """Return 95 % intervals of the means of the columns.

    Args:
        values: float64 [n, m]; pass the difference of two systems' scores for the interval of their difference.
        clusters: n names; rows of the same name are drawn together.
        seed: of the resampling.

    Returns:
        float64 [m, 2], low and high; zeros when there are no rows.
    """
    if not len(values):
        return np.zeros((values.shape[1], 2))
    _, place = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(place.max()) + 1
    sizes = np.bincount(place, minlength=count).astype(np.float64)
    sums = np.stack([np.bincount(place, column, minlength=count) for column in values.T], axis=1)  # [count, m]
    blocks = [(drawn @ sums) / (drawn @ sizes)[:, None] for drawn in resamples(count, seed)]
    means = np.concatenate(blocks)  # [RESAMPLES, m]
    tail = (1 - LEVEL) / 2
    bounds: Scores = np.quantile(means, [tail, 1 - tail], axis=0).T
    return bounds


def estimate(values: Scores, clusters: Sequence[str]) -> dict[str, Any]:
    """Return the mean of float64[n] and its interval, as plain values; zeros when there are no rows."""
    [bounds] = intervals(values[:, None], clusters)
    return {"mean": round(float(values.mean()), 4) if len(values) else 0.0, "interval": bounds.round(4).tolist()}
