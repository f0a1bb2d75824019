"""Which bars are shown: as many as possible under a CTR constraint (paper, 5.3).

A system shows a bar if its confidence reaches a threshold. The threshold is chosen on traffic before the experiment:
the lowest one at which the CTR of the shown bars is still at least the floor. Both systems have the same floor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.errors import InputError
from evaluation.simulation.arms import Bar
from evaluation.simulation.intervals import ClusterBootstrap

FEWEST_BARS = 100
"""A threshold is not chosen by the CTR of fewer bars."""


def ctr_at_share(bars: Sequence[Bar], clicked: NDArray[np.bool_], share: float) -> float:
    """Return the CTR of a system that shows a bar at a share of the impressions, those with the highest confidence.

    Args:
        bars: n bars of the system.
        clicked: bool[n], a viewer would click the bar.
        share: of the n impressions.

    Raises:
        InputError: the system has too few bars.
    """
    order = _by_confidence(bars)
    wanted = round(share * len(bars))
    if len(order) < wanted or wanted < FEWEST_BARS:
        raise InputError(
            f"the control has {len(order):,} bars for {len(bars):,} impressions of the calibration, and a share of "
            f"{share:g} needs {wanted:,}, at least {FEWEST_BARS}; lower --control-exposure or raise --calibration"
        )
    return float(clicked[order[:wanted]].mean())


def lowest_threshold(bars: Sequence[Bar], clicked: NDArray[np.bool_], floor: float) -> float:
    """Return the lowest confidence at which the CTR of the shown bars is at least the floor; infinity for none."""
    order = _by_confidence(bars)
    last = _last_at_floor(np.arange(1, len(order) + 1), np.cumsum(clicked[order]), floor)
    return math.inf if last is None else bars[int(order[last])].confidence


def resampled_exposures(
    bars: Sequence[Sequence[Bar]],
    clicked: Sequence[NDArray[np.bool_]],
    share: float,
    floor: float | None,
    bootstrap: ClusterBootstrap,
) -> NDArray[np.float64]:
    """Choose floor and thresholds again on resamples of the viewers: what other viewers would have made of them.

    Args:
        bars: n bars of the control, then n of the treatment.
        clicked: bool[n] of each, a viewer would click the bar.
        share: see `ctr_at_share`.
        floor: the CTR floor; None to take it from the control at `share`.
        bootstrap: over the viewers of the n impressions.

    Returns:
        float64 [RESAMPLES, 2], the share of the impressions at which each system shows a bar.
    """
    orders = [_by_confidence(part) for part in bars]
    rows = []
    for weight in bootstrap.weights():
        seen = [np.cumsum(weight[order]) for order in orders]
        clicks = [np.cumsum(weight[order] * hits[order]) for order, hits in zip(orders, clicked, strict=True)]
        least = floor
        if least is None:
            at = min(int(np.searchsorted(seen[0], share * weight.sum())), len(orders[0]) - 1)
            least = float(clicks[0][at] / max(seen[0][at], 1.0))
        last = [_last_at_floor(count, hits, least) for count, hits in zip(seen, clicks, strict=True)]
        shown = [0.0 if place is None else count[place] for count, place in zip(seen, last, strict=True)]
        rows.append(np.array(shown) / weight.sum())
    return np.stack(rows)


def is_shown(bars: Sequence[Bar], threshold: float) -> NDArray[np.bool_]:
    """Return bool[n], the bars that are shown at a threshold."""
    return np.array([bool(bar.queries) and bar.confidence >= threshold for bar in bars], bool)


def _last_at_floor(seen: NDArray[Any], clicks: NDArray[Any], floor: float) -> int | None:
    """Return the last of n places up to which `clicks` / `seen` is at least the floor; None for none."""
    enough = np.flatnonzero((clicks / np.maximum(seen, 1) >= floor) & (seen >= FEWEST_BARS))
    return int(enough[-1]) if len(enough) else None


def _by_confidence(bars: Sequence[Bar]) -> NDArray[np.int64]:
    """Return the places of the bars with queries, highest confidence first."""
    confidence = np.array([bar.confidence if bar.queries else -1.0 for bar in bars])
    order = np.argsort(-confidence, kind="stable")
    return order[: int((confidence >= 0).sum())]
