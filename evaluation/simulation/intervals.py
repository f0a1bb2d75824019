"""Intervals of ratios by bootstrap over viewers: the impressions of one viewer are not independent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.bootstrap import LEVEL, RESAMPLES

Doubles = NDArray[np.float64]


class ViewerBootstrap:
    """One set of resamples of the viewers, for every figure of a simulation."""

    def __init__(self, viewers: NDArray[np.int64], seed: int = 0) -> None:
        """Draw the resamples.

        Args:
            viewers: int64[N], the viewer of each impression.
            seed: of the resampling.
        """
        _, self._place = np.unique(viewers, return_inverse=True)
        self.count = int(self._place.max()) + 1
        shares = np.full(self.count, 1.0 / self.count)
        self._weights = np.random.default_rng(seed).multinomial(self.count, shares, size=RESAMPLES).astype(np.float64)

    def weights(self) -> Iterator[Doubles]:
        """Return, for each resample, how often each impression is in it, float64[N]."""
        for drawn in self._weights:
            yield drawn[self._place]

    def sums(self, values: Doubles) -> tuple[Doubles, Doubles]:
        """Return the sums of the columns, as observed and in each resample.

        Args:
            values: float64 [N, m], one row for each impression.

        Returns:
            float64[m] and float64 [RESAMPLES, m].
        """
        of_viewer = np.stack([np.bincount(self._place, column, self.count) for column in values.T], axis=1)
        drawn: Doubles = self._weights @ of_viewer
        return of_viewer.sum(axis=0), drawn


def ratio(above: Any, below: Any) -> Any:
    """Return above / below, 0 where below is 0."""
    below = np.asarray(below, np.float64)
    return np.divide(above, below, out=np.zeros_like(below), where=below != 0)


def bounds(drawn: Doubles) -> list[float]:
    """Return the interval of float64[RESAMPLES], rounded."""
    tail = (1 - LEVEL) / 2
    return [round(float(bound), 5) for bound in np.quantile(drawn, [tail, 1 - tail])]
