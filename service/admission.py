"""Who may come in: a bounded number of requests, and only those that the queue ahead leaves time for.

Permits are taken on arrival, before any work, so that an overloaded service says 429 at once instead of late answers.
"""

from __future__ import annotations

from service.deadline import Deadline
from service.errors import Overloaded

_SMOOTHING = 0.1
_OUTLIER = 4.0


class Admission:
    """Counts the requests inside and estimates how long a further one would wait. For one event loop."""

    def __init__(self, capacity: int) -> None:
        """The estimate starts at nothing; the first measurement sets it and later ones move it."""
        self._capacity = capacity
        self._generation_seconds = 0.0
        self.inside = 0

    @property
    def generation_seconds(self) -> float:
        """The estimate of one generation, a moving average."""
        return self._generation_seconds

    def expected_wait(self) -> float:
        """Seconds that a request coming now would wait for the engine."""
        return self.inside * self._generation_seconds

    def enter(self, deadline: Deadline) -> None:
        """Take a permit; give it back with ``leave``.

        Raises:
            Overloaded: there is no room, or the wait would be longer than the deadline.
        """
        wait = self.expected_wait()
        if self.inside >= self._capacity:
            raise Overloaded(
                f"The queue is full with {self.inside} requests; send fewer at once, or add instances.",
                "queue_full",
                wait,
            )
        remaining = deadline.remaining()
        if wait > remaining:
            raise Overloaded(
                f"The queue would take about {wait * 1000:.0f} ms and the deadline leaves {remaining * 1000:.0f} ms; "
                "send fewer at once, raise deadline_ms, or add instances.",
                "expected_wait",
                wait - remaining,
            )
        self.inside += 1

    def leave(self) -> None:
        """Give a permit back."""
        self.inside -= 1

    def observe(self, seconds: float) -> None:
        """Tell the estimate how long a generation took; a single stall must not shut the door for long."""
        if self._generation_seconds == 0.0:
            self._generation_seconds = seconds
            return
        clipped = min(seconds, _OUTLIER * self._generation_seconds)
        self._generation_seconds += _SMOOTHING * (clipped - self._generation_seconds)
