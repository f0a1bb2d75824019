"""The requests of a window of time under load: failures, refusals, latency, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.samples import Sample, percentile


@dataclass(frozen=True, slots=True)
class Window:
    """The requests of a window.

    Attributes:
        seconds: its length.
        samples: the requests that were due in it.
        resident_mb: memory of the service at its end, in MiB.
    """

    seconds: float
    samples: Sequence[Sample]
    resident_mb: float

    @property
    def latencies_ms(self) -> list[float]:
        """The latencies, from the time at which each call was due."""
        return [sample.since_due_ms for sample in self.samples]

    @property
    def refused(self) -> list[Sample]:
        """Requests that admission control refused with 429."""
        return [sample for sample in self.samples if sample.refused]

    @property
    def failed(self) -> list[Sample]:
        """Requests with no answer, an error, or a wrong answer. A refusal by admission control is not one of them."""
        return [s for s in self.samples if (s.status != 200 and not s.refused) or s.faults]

    def p(self, percent: float) -> float:
        """Return a percentile of the latency in milliseconds; 0 without requests."""
        return percentile(self.latencies_ms, percent) if self.samples else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the figures of the window."""
        return {
            "seconds": round(self.seconds, 1),
            "requests": len(self.samples),
            "failed": len(self.failed),
            "faults": Counter(sample.faults[0] if sample.faults else str(sample.status) for sample in self.failed),
            "refused": len(self.refused),
            "p50_ms": round(self.p(50.0), 1),
            "p99_ms": round(self.p(99.0), 1),
            "max_ms": round(self.p(100.0), 1),
            "generator_lag_p99_ms": round(percentile([s.lag_ms for s in self.samples] or [0.0], 99.0), 1),
            "resident_mb": round(self.resident_mb, 1),
        }
