"""Metrics of the shadow: the answers of a candidate beside those that were given."""

from __future__ import annotations

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

ShadowOutcome = Literal["compared", "dropped", "failed"]
"""What became of a copied request. ``dropped``: the candidate was busy. ``failed``: it raised an error."""

_DECISIONS = ("recommend", "abstain")
_SHARES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
_SECONDS = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0)


class ShadowMetrics:
    """What the shadow reports. Safe to call from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Create the metrics in a registry."""
        requests = Counter("onebar_shadow_requests", "Copied requests, by outcome.", ("outcome",), registry=registry)
        self._requests = {outcome: requests.labels(outcome) for outcome in get_args(ShadowOutcome)}
        decisions = Counter(
            "onebar_shadow_decisions", "Compared requests, by the decisions for the served and the candidate bundle.",
            ("served", "candidate"), registry=registry,
        )  # fmt: skip
        self._decisions = {pair: decisions.labels(*pair) for pair in ((a, b) for a in _DECISIONS for b in _DECISIONS)}
        first = Counter(
            "onebar_shadow_first_queries", "Requests with queries of both bundles, by whether the first is the same.",
            ("same",), registry=registry,
        )  # fmt: skip
        self._first = {same: first.labels("yes" if same else "no") for same in (True, False)}
        self._overlap = Histogram(
            "onebar_shadow_overlap_ratio", "Queries of both bundles, divided by those of the longer list.",
            registry=registry, buckets=_SHARES,
        )  # fmt: skip
        seconds = Histogram(
            "onebar_shadow_generation_seconds", "Encoding and decoding of the same requests; the candidate's at low"
            " priority.", ("bundle",), registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self._served_seconds, self._candidate_seconds = seconds.labels("served"), seconds.labels("candidate")

    def count(self, outcome: ShadowOutcome) -> None:
        """Count one copied request."""
        self._requests[outcome].inc()

    def compared(self, served: list[str], candidate: list[str]) -> None:
        """Compare two lists of queries, best first; an empty one stands for showing nothing."""
        self.count("compared")
        decisions = tuple("recommend" if queries else "abstain" for queries in (served, candidate))
        self._decisions[decisions[0], decisions[1]].inc()
        if served and candidate:
            self._first[served[0] == candidate[0]].inc()
            self._overlap.observe(len(set(served) & set(candidate)) / max(len(served), len(candidate)))

    def took(self, served_seconds: float | None, candidate_seconds: float) -> None:
        """Record the seconds of both; None where the served answer was not generated for this request alone."""
        self._candidate_seconds.observe(candidate_seconds)
        if served_seconds is not None:
            self._served_seconds.observe(served_seconds)
