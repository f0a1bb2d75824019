"""Percentiles of the service's own histograms, over the time between two scrapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

STAGE_METRIC = "onebar_stage_duration_seconds"
Buckets = Mapping[float, float]
"""Upper bound (inclusive) to the cumulative count."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading of ``/metrics``: sample name and sorted labels to value."""

    values: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]

    @classmethod
    def parse(cls, text: str) -> Scrape:
        """Read the text format."""
        return cls(
            {
                (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
        )

    def since(self, earlier: Scrape) -> Scrape:
        """What was added since an earlier scrape of the same process (nonsense for gauges)."""
        return Scrape({key: value - earlier.values.get(key, 0.0) for key, value in self.values.items()})

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of a name that have these labels."""
        wanted = labels.items()
        return sum(value for (n, pairs), value in self.values.items() if n == name and wanted <= dict(pairs).items())

    def buckets(self, name: str, **labels: str) -> Buckets:
        """The cumulative buckets of one histogram, in the order of their bounds."""
        wanted = labels.items()
        found: dict[float, float] = {}
        for (sample, pairs), value in self.values.items():
            given = dict(pairs)
            if sample == f"{name}_bucket" and wanted <= given.items():
                bound = float(given["le"])
                found[bound] = found.get(bound, 0.0) + value
        return dict(sorted(found.items()))


def quantile(buckets: Buckets, q: float) -> float:
    """Estimate a quantile as Prometheus' ``histogram_quantile`` does: linear within the bucket that holds it.

    Returns:
        The estimate in the unit of the bounds; the last finite bound where it lies beyond; NaN for an empty histogram.
    """
    total = max(buckets.values(), default=0.0)
    if total == 0:
        return math.nan
    rank = q * total
    lower, below = 0.0, 0.0
    for bound, cumulative in buckets.items():
        if cumulative >= rank:
            if math.isinf(bound):
                return lower
            inside = cumulative - below
            return bound if inside == 0 else lower + (bound - lower) * (rank - below) / inside
        lower, below = bound, cumulative
    return lower


def stage_quantiles_ms(delta: Scrape, stages: tuple[str, ...], quantiles: tuple[float, ...]) -> dict[str, list[float]]:
    """Quantiles in milliseconds for each stage that has observations."""
    found = {}
    for stage in stages:
        buckets = delta.buckets(STAGE_METRIC, stage=stage)
        if max(buckets.values(), default=0.0) > 0:
            found[stage] = [quantile(buckets, q) * 1000 for q in quantiles]
    return found
