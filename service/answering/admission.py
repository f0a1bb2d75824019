"""Admission control: a bounded number of requests, and only those that can be answered before their deadline.

Permits are taken on arrival, before any work, so that an overloaded service refuses with 429 at once instead of
answering late.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from service.answering.deadline import Deadline
from service.answering.errors import Overloaded

_SMOOTHING = 0.1


class Admission:
    """Counts the admitted requests, and asks the engine when a further one would be done. For one event loop.

    Attributes:
        inside: admitted requests that are not yet answered.
        approaching: those of them that the engine has not received yet.
    """

    def __init__(
        self,
        capacity: int,
        expected_seconds: Callable[[float, int], float],
        source_tokens: int,
        reserve_seconds: float = 0.0,
    ) -> None:
        """Admit at most ``capacity`` requests at a time.

        Args:
            capacity: number of permits.
            expected_seconds: (source tokens, requests ahead that the engine has not received yet) -> seconds, rarely
                exceeded, until a request of that size would be generated.
            source_tokens: the size that is assumed of a request before the first ``observe``.
            reserve_seconds: part of each deadline that is reserved for what follows the generation.
        """
        self._capacity = capacity
        self._expected_seconds = expected_seconds
        self._source_tokens = float(source_tokens)
        self._reserve_seconds = reserve_seconds
        self.inside = 0
        self.approaching = 0

    def expected_seconds(self) -> float:
        """Return the seconds, rarely exceeded, until a request that arrives now would be generated."""
        return self._expected_seconds(self._source_tokens, self.approaching)

    def enter(self, deadline: Deadline) -> Permit:
        """Take a permit.

        A request is always admitted while no other is in progress, whatever its deadline. Refusing it would not reduce
        any load, and the search ends with what it has at the deadline.

        Returns:
            A context manager that releases the permit.

        Raises:
            Overloaded: all permits are taken, or the answer would come after the deadline.
        """
        self.check(deadline)
        return Permit(self)

    def check(self, deadline: Deadline) -> None:
        """Raise Overloaded if ``enter`` would, and take no permit."""
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
                # The time until all requests ahead are done. With less, all refused clients would return at once.
                expected,
            )

    def observe(self, source_tokens: int) -> None:
        """Update the moving average of the source length, in tokens, that the estimate uses."""
        self._source_tokens += _SMOOTHING * (source_tokens - self._source_tokens)


class Permit:
    """One admitted request. Admission counts it as a request ahead until ``handed_over``, then the engine does."""

    __slots__ = ("_admission", "_approaching")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._approaching = True
        admission.inside += 1
        admission.approaching += 1

    def handed_over(self) -> None:
        """Note that the engine counts this request from now on."""
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
