"""Who may come in: a bounded number of requests, and only those that the queue ahead leaves time for.

Permits are taken on arrival, before any work, so that an overloaded service says 429 at once instead of late answers.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from service.answering.deadline import Deadline
from service.answering.errors import Overloaded

_SMOOTHING = 0.1


class Admission:
    """Counts the requests inside, and asks the engine when a further one would be done. For one event loop."""

    def __init__(
        self,
        capacity: int,
        expected_seconds: Callable[[float, int], float],
        source_tokens: int,
        reserve_seconds: float = 0.0,
    ) -> None:
        """Admit at most ``capacity`` requests at a time.

        Args:
            capacity: permits.
            expected_seconds: (source tokens, requests ahead that the engine does not know of yet) -> seconds,
                seldom exceeded, until a request of that size would be generated.
            source_tokens: the size that is assumed of a request before any has been seen.
            reserve_seconds: kept back of each deadline for what follows the generation.
        """
        self._capacity = capacity
        self._expected_seconds = expected_seconds
        self._source_tokens = float(source_tokens)
        self._reserve_seconds = reserve_seconds
        self.inside = 0
        self.approaching = 0

    def expected_seconds(self) -> float:
        """Seconds until a request coming now would be generated, behind all that are inside; seldom exceeded."""
        return self._expected_seconds(self._source_tokens, self.approaching)

    def enter(self, deadline: Deadline) -> Permit:
        """Take a permit, a context manager that gives itself back.

        A request that finds nobody inside is let in whatever its deadline: it is not the load that it would be refused
        for, and what can be found in its time is its answer.

        Raises:
            Overloaded: there is no room, or it would be done after its deadline.
        """
        self.check(deadline)
        return Permit(self)

    def check(self, deadline: Deadline) -> None:
        """Raise Overloaded where ``enter`` would, and take no permit."""
        expected = self.expected_seconds()
        if self.inside >= self._capacity:
            raise Overloaded(
                f"The queue is full with {self.inside} requests; send fewer at once, or add instances.",
                "queue_full",
                expected,
            )
        remaining = max(0.0, deadline.remaining() - self._reserve_seconds)
        if self.inside and expected > remaining:
            raise Overloaded(
                f"The answer would take about {expected * 1000:.0f} ms and the deadline leaves {remaining * 1000:.0f}"
                " ms; send fewer at once, raise deadline_ms, or add instances.",
                "expected_wait",
                expected,  # until those inside are done: with the least wait, all refused clients would return at once
            )

    def observe(self, source_tokens: int) -> None:
        """Tell the estimate how long the sources are."""
        self._source_tokens += _SMOOTHING * (source_tokens - self._source_tokens)


class Permit:
    """One request inside. On its way it is the admission's to count, then the engine's: see ``handed_over``."""

    __slots__ = ("_admission", "_approaching")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._approaching = True
        admission.inside += 1
        admission.approaching += 1

    def handed_over(self) -> None:
        """The engine knows of this request from now on."""
        if self._approaching:
            self._approaching = False
            self._admission.approaching -= 1

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.handed_over()
        self._admission.inside -= 1
