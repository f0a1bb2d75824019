"""The one clock of a request, from its arrival to its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a request came and when its answer must leave, both in ``time.perf_counter()`` seconds."""

    arrived_at: float
    expires_at: float

    @classmethod
    def after(cls, arrived_at: float, budget_ms: float) -> Deadline:
        """The deadline of a request that came at ``arrived_at`` and may take ``budget_ms`` milliseconds."""
        return cls(arrived_at, arrived_at + budget_ms / 1000)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.expires_at - time.perf_counter())

    def elapsed(self) -> float:
        """Seconds since the request came."""
        return time.perf_counter() - self.arrived_at

    def share(self, fraction: float, at_most_seconds: float) -> float:
        """A part of what is left, for a stage that must not use up the whole of it, in seconds."""
        return min(at_most_seconds, fraction * self.remaining())
