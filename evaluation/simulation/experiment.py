"""Comparisons of two systems: by a split of the viewers, as online, and with every impression played by both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.simulation.intervals import ClusterBootstrap, bounds, ratio
from evaluation.simulation.outcomes import MEASURES, Outcomes

FIGURES: Mapping[str, tuple[str, str]] = {
    "exposure": ("exposures", "impressions"),
    "clicks": ("clicks", "impressions"),
    "ctr": ("clicks", "exposures"),
    "orders": ("orders", "impressions"),
    "gmv": ("gmv", "impressions"),
    "expected_orders": ("expected_orders", "impressions"),
    "expected_gmv": ("expected_gmv", "impressions"),
    "utility": ("utility", "impressions"),
}
"""The figures of Table 8, each a measure over another one."""


def in_treatment(viewers: NDArray[np.int64], salt: str) -> NDArray[np.bool_]:
    """Return bool[N], which impressions the treatment answers: half of the viewers, by a hash of viewer and salt."""
    different, place = np.unique(viewers, return_inverse=True)
    key = salt.encode()
    chosen = [hashlib.blake2b(b"%d" % viewer, key=key, digest_size=1).digest()[0] % 2 for viewer in different.tolist()]
    return np.array(chosen, bool)[place]


def compare(
    control: Outcomes,
    treatment: Outcomes,
    bootstrap: ClusterBootstrap,
    *,
    of_control: NDArray[np.bool_] | None = None,
    of_treatment: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """Return every figure of both systems, and the relative change with its interval.

    Args:
        control: of N impressions.
        treatment: of the same N impressions.
        bootstrap: over their viewers.
        of_control: bool[N], the impressions that count for the control; all when None.
        of_treatment: bool[N], the same for the treatment.
    """
    sides = []
    for outcomes, mask in ((control, of_control), (treatment, of_treatment)):
        values = outcomes.values if mask is None else outcomes.values * mask[:, None]
        sides.append(bootstrap.sums(values))
    report = {}
    for name, measures in FIGURES.items():
        above, below = (MEASURES.index(measure) for measure in measures)
        (old, old_drawn), (new, new_drawn) = (
            (ratio(total[above], total[below]), ratio(drawn[:, above], drawn[:, below])) for total, drawn in sides
        )
        report[name] = {
            "control": round(float(old), 6),
            "treatment": round(float(new), 6),
            "change": round(float(ratio(new - old, old)), 5),
            "interval": bounds(ratio(new_drawn - old_drawn, old_drawn)),
        }
    return report


def split_comparison(
    control: Outcomes, treatment: Outcomes, viewers: NDArray[np.int64], bootstrap: ClusterBootstrap, salt: str
) -> dict[str, Any]:
    """Return the comparison that an online experiment would make: each viewer meets one system."""
    treated = in_treatment(viewers, salt)
    figures = compare(control, treatment, bootstrap, of_control=~treated, of_treatment=treated)
    return {
        "control_impressions": int((~treated).sum()),
        "treatment_impressions": int(treated.sum()),
        "figures": figures,
    }


def coverage(
    outcomes: Outcomes, viewers: NDArray[np.int64], bootstrap: ClusterBootstrap, splits: int
) -> dict[str, Any]:
    """Return how often the interval of an A/A comparison has 0 in it, over many splits of the viewers."""
    inside = dict.fromkeys(FIGURES, 0)
    for number in range(splits):
        figures = split_comparison(outcomes, outcomes, viewers, bootstrap, f"a/a {number}")["figures"]
        for name, figure in figures.items():
            low, high = figure["interval"]
            inside[name] += low <= 0 <= high
    return {"splits": splits, "inside": {name: round(times / max(splits, 1), 3) for name, times in inside.items()}}


def by_slice(
    control: Outcomes,
    treatment: Outcomes,
    bootstrap: ClusterBootstrap,
    slices: Mapping[str, NDArray[np.bool_]],
) -> dict[str, Any]:
    """Return the paired comparison within each slice that has impressions."""
    return {
        name: {
            "impressions": int(mask.sum()),
            "figures": compare(control, treatment, bootstrap, of_control=mask, of_treatment=mask),
        }
        for name, mask in slices.items()
        if mask.any()
    }
