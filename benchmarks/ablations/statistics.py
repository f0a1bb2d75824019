"""Means and intervals: over seeds where a system was trained several times, over videos where it was not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from benchmarks.ablations.answers import Measured
from evaluation.bootstrap import LEVEL, estimate
from evaluation.metrics import METRICS, Scores


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean with its 95 % interval; no interval where there is none."""

    mean: float
    low: float | None = None
    high: float | None = None

    def text(self, digits: int = 3, signed: bool = False) -> str:
        """Return the figure for people."""
        sign = "+" if signed else ""
        mean = f"{self.mean:{sign}.{digits}f}"
        if self.low is None or self.high is None:
            return mean
        return f"{mean} ({self.low:{sign}.{digits}f} to {self.high:{sign}.{digits}f})"


def metric(found: Measured, name: str) -> Scores:
    """Return a metric of each click, float64 [n]; `bas` is not a number where nothing is shown."""
    return found.relevance if name == "bas" else found.scores[:, METRICS.index(name)]


def over_seeds(values: Sequence[float]) -> Figure:
    """Return the mean and the t-interval of figures of several seeds."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Figure(mean)
    half = float(special.stdtrit(len(values) - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Figure(mean, mean - half, mean + half)


def over_videos(values: Scores, photos: Sequence[str]) -> Figure:
    """Return the mean of float64 [n] and its interval by bootstrap over videos; what is not a number is left out."""
    present = ~np.isnan(values)
    found = estimate(values[present], np.asarray(photos, dtype=object)[present].tolist())
    return Figure(found["mean"], *found["interval"])


def figure(runs: Sequence[Measured], name: str, photos: Sequence[str]) -> Figure | None:
    """Return a metric of a system: over seeds if it has several runs, otherwise over videos; None without any value."""
    values = [metric(run, name) for run in runs]
    present = [value[~np.isnan(value)] for value in values]
    means = [float(value.mean()) for value in present if len(value)]
    if not means:
        return None
    return over_videos(values[0], photos) if len(values) == 1 else over_seeds(means)


def difference(runs: Sequence[Measured], others: Sequence[Measured], name: str, photos: Sequence[str]) -> Figure:
    """Return the paired difference of two systems on the same clicks, with its interval over videos.

    Each click counts with the mean over the seeds of each system.
    """
    mean, other = (np.mean([metric(run, name) for run in part], axis=0) for part in (runs, others))
    return over_videos(mean - other, photos)


def hit_rates(runs: Sequence[Measured], cutoffs: Sequence[int], photos: Sequence[str]) -> list[Figure]:
    """Return HR@k for each cutoff k."""
    if len(runs) == 1:
        return [over_videos((runs[0].ranks <= cutoff).astype(np.float64), photos) for cutoff in cutoffs]
    return [over_seeds([float((run.ranks <= cutoff).mean()) for run in runs]) for cutoff in cutoffs]
