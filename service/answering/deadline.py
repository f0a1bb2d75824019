"""The deadline of a request, which all request stages share."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a request arrived and when its answer is due, both in ``time.perf_counter()`` seconds."""

    arrived_at: float
    expires_at: float

    @classmethod
    def after(cls, arrived_at: float, budget_ms: float) -> Deadline:
        """Return the deadline of a request that arrived at ``arrived_at`` and may take ``budget_ms`` milliseconds."""
        return cls(arrived_at, arrived_at + budget_ms / 1000)

    def remaining(self) -> float:
        """Return the remaining seconds, never negative."""
        return max(0.0, self.expires_at - time.perf_counter())

    def elapsed(self) -> float:
        """Return the seconds since the request arrived."""
        return time.perf_counter() - self.arrived_at

    def share(self, fraction: float, at_most_seconds: float) -> float:
        """Return the seconds that a stage may use: ``fraction`` of the remaining time, at most ``at_most_seconds``."""
        return min(at_most_seconds, fraction * self.remaining())
