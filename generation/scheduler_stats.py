"""What the scheduler tells of itself: counters to read, and an observer to be told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

logger = logging.getLogger(__name__)

Outcome = Literal["finished", "deadline", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class SchedulerStats:
    """Counters. active_requests, waiting_requests and rows are of this moment; the others only grow."""

    active_requests: int
    waiting_requests: int
    rows: int
    steps: int
    encodes: int
    finished: int
    deadline_reached: int
    cancelled: int
    failed: int


class SchedulerObserver(Protocol):
    """Is told of what happens, in the loop's thread, which waits for it: it must be quick."""

    def started(self, queue_seconds: float) -> None:
        """A request leaves the queue."""

    def encoded(self, source_tokens: int, seconds: float) -> None:
        """A source was encoded and its first token decoded."""

    def stepped(self, requests: int, rows: int, seconds: float) -> None:
        """Requests, of so many beams together, were moved on by one token."""

    def ended(self, outcome: Outcome) -> None:
        """A request was answered, or came to another end."""


@dataclass(slots=True)
class Watch:
    """Counts, and passes on to an observer, whose failures are logged and do no harm."""

    observer: SchedulerObserver | None
    steps: int = 0
    encodes: int = 0
    outcomes: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("finished", "deadline", "cancelled", "failed"), 0)
    )

    def started(self, queue_seconds: float) -> None:
        """Pass on."""
        if self.observer:
            self._tell(self.observer.started, queue_seconds)

    def encoded(self, source_tokens: int, seconds: float) -> None:
        """Count and pass on."""
        self.encodes += 1
        if self.observer:
            self._tell(self.observer.encoded, source_tokens, seconds)

    def stepped(self, requests: int, rows: int, seconds: float) -> None:
        """Count and pass on."""
        self.steps += 1
        if self.observer:
            self._tell(self.observer.stepped, requests, rows, seconds)

    def ended(self, outcome: Outcome) -> None:
        """Count and pass on."""
        self.outcomes[outcome] += 1
        if self.observer:
            self._tell(self.observer.ended, outcome)

    def stats(self, active: int, waiting: int, rows: int) -> SchedulerStats:
        """Return the counters as they stand."""
        outcomes = self.outcomes
        return SchedulerStats(
            active, waiting, rows, self.steps, self.encodes,
            outcomes["finished"], outcomes["deadline"], outcomes["cancelled"], outcomes["failed"],
        )  # fmt: skip

    def _tell(self, what: Callable[..., None], *values: float | str) -> None:
        try:
            what(*values)
        except Exception:
            logger.exception("the scheduler's observer failed")
