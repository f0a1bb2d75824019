"""Intervals of ratios by a cluster bootstrap: the impressions of one viewer, or of one video, are not independent.

The outcomes of a bar depend on its viewer, so viewers are drawn. A bad case depends on the video, whose viewers mostly
get the same bar, so videos are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.bootstrap import AT_ONCE, LEVEL, RESAMPLES, resamples

Doubles = NDArray[np.float64]


class ClusterBootstrap:
    """One set of resamples of the units of a simulation: its viewers, or its videos."""

    def __init__(self, units: NDArray[np.int64], seed: int = 0) -> None:
        """Draw the resamples.

        Args:
            units: int64[N], the viewer or the video of each impression.
            seed: of the resampling.
        """
        _, self._place = np.unique(units, return_inverse=True)
        self.count = int(self._place.max()) + 1
        # A unit is drawn once on average, so one byte holds the number of its draws.
        self._drawn = np.empty((RESAMPLES, self.count), np.uint8)
        for start, block in zip(range(0, RESAMPLES, AT_ONCE), resamples(self.count, seed), strict=True):
            self._drawn[start : start + AT_ONCE] = block

    def weights(self) -> Iterator[Doubles]:
        """Return, for each resample, how often each impression is in it, float64[N]."""
        for drawn in self._drawn:
            yield drawn.astype(np.float64)[self._place]

    def sums(self, values: Doubles) -> tuple[Doubles, Doubles]:
        """Return the sums of the columns, as observed and in each resample.

        Args:
            values: float64 [N, m], one row for each impression.

        Returns:
            float64[m] and float64 [RESAMPLES, m].
        """
        of_unit = np.stack([np.bincount(self._place, column, self.count) for column in values.T], axis=1)
        starts = range(0, RESAMPLES, AT_ONCE)
        blocks = [self._drawn[start : start + AT_ONCE].astype(np.float64) @ of_unit for start in starts]
        return of_unit.sum(axis=0), np.concatenate(blocks)


def ratio(above: Any, below: Any) -> Any:
    """Return above / below, 0 where below is 0."""
    below = np.asarray(below, np.float64)
    return np.divide(above, below, out=np.zeros_like(below), where=below != 0)


def bounds(drawn: Doubles) -> list[float]:
    """Return the interval of float64[RESAMPLES], rounded."""
    tail = (1 - LEVEL) / 2
    return [round(float(bound), 5) for bound in np.quantile(drawn, [tail, 1 - tail])]
