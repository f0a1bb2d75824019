"""What the scheduler reports: counters to read, and events for an observer."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal, Protocol

logger = logging.getLogger(__name__)

Outcome = Literal["finished", "deadline", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class SchedulerStats:
    """Counters of a scheduler since its start; the first three are of this moment.

    Attributes:
        active_requests: requests that are being stepped.
        waiting_requests: requests that are not encoded yet.
        rows: beams of the active requests.
        steps: decoder steps, of all active requests together; first steps are part of the encodes.
        encodes: encoder passes.
        finished: requests whose search was done.
        deadline_reached: requests whose search was cut short, or not begun.
        cancelled: requests whose future was cancelled.
        failed: requests that ended with an error.
    """

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
    """Is called in the loop's thread, which waits for it: every method must be quick."""

    def started(self, queue_seconds: float) -> None:
        """The encoder pass of a request begins, so many seconds after its submission."""

    def encoded(self, source_tokens: int, seconds: float) -> None:
        """A source was encoded and its first token decoded."""

    def stepped(self, requests: int, rows: int, seconds: float) -> None:
        """A decoder step was run for so many requests, with so many beams together."""

    def ended(self, outcome: Outcome) -> None:
        """A request was answered, failed, or was cancelled."""


@dataclass(slots=True)
class Watch:
    """Counts what happens and reports it to the observer. An observer that raises is logged and has no effect.

    Only the loop's thread counts. `observer` may be replaced by any thread: each report reads it once.

    Attributes:
        observer: gets the reports; None for none.
        steps: decoder steps.
        encodes: encoder passes.
        outcomes: requests that ended, by outcome.
    """

    observer: SchedulerObserver | None = None
    steps: int = 0
    encodes: int = 0
    outcomes: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("finished", "deadline", "cancelled", "failed"), 0)
    )

    def started(self, queue_seconds: float) -> None:
        """Report that the encoder pass of a request begins."""
        self._report("started", queue_seconds)

    def encoded(self, source_tokens: int, seconds: float) -> None:
        """Count and report an encoder pass."""
        self.encodes += 1
        self._report("encoded", source_tokens, seconds)

    def stepped(self, requests: int, rows: int, seconds: float) -> None:
        """Count and report a decoder step."""
        self.steps += 1
        self._report("stepped", requests, rows, seconds)

    def ended(self, outcome: Outcome) -> None:
        """Count and report the end of a request."""
        self.outcomes[outcome] += 1
        self._report("ended", outcome)

    def stats(self, active: int, waiting: int, rows: int) -> SchedulerStats:
        """Return the counters as they are now."""
        outcomes = self.outcomes
        return SchedulerStats(
            active, waiting, rows, self.steps, self.encodes,
            outcomes["finished"], outcomes["deadline"], outcomes["cancelled"], outcomes["failed"],
        )  # fmt: skip

    def _report(self, event: str, *values: float | str) -> None:
        observer = self.observer
        if observer is None:
            return
        try:
            getattr(observer, event)(*values)
        except Exception:
            logger.exception("the scheduler's observer failed")
