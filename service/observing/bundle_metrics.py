"""Metrics of the bundles: which one answers, and what became of promotions."""

from __future__ import annotations

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

SwapOutcome = Literal["switched", "refused", "replaced"]
"""What became of a promoted bundle.

- ``switched``: it is served.
- ``refused``: it cannot be loaded, or did not pass a check; the one of before is still served.
- ``replaced``: another bundle was promoted before this one was served.
"""

_OUTCOMES: tuple[SwapOutcome, ...] = get_args(SwapOutcome)


class BundleMetrics:
    """What the changes of bundles report. For one event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Create the metrics in a registry."""
        swaps = Counter("onebar_bundle_swaps", "Promoted bundles, by outcome.", ("outcome",), registry=registry)
        self._swaps = {outcome: swaps.labels(outcome) for outcome in _OUTCOMES}
        self._refused = Gauge(
            "onebar_bundle_refused", "1 while another bundle is served than the promoted one.", registry=registry
        )
        self._answers = Counter(
            "onebar_bundle_answers", "Answers of the bundles that are served now, by decision.",
            ("model_version", "decision"), registry=registry,
        )  # fmt: skip

    def answer(self, model_version: str, decision: str) -> None:
        """Count one answer of a bundle."""
        self._answers.labels(model_version, decision).inc()

    def forget(self, model_version: str) -> None:
        """Remove the series of a bundle that is no longer served, so that their number stays bounded."""
        for decision in ("recommend", "abstain"):
            if (model_version, decision) in self._answers._metrics:
                self._answers.remove(model_version, decision)

    def swapped(self, outcome: SwapOutcome) -> None:
        """Count one promoted bundle."""
        self._swaps[outcome].inc()

    def refused(self, *, refused: bool) -> None:
        """Set whether the promoted bundle is not served because of a fault."""
        self._refused.set(refused)
