"""Work not done twice: generations that are kept for equal inputs, and requests that join one in progress.

A generation depends on nothing but the key: model version, constraints, options and token ids. What is particular to a
request, its policy and what its viewer was shown, is applied afterwards to each. Everything runs on the one event loop,
so nothing here is locked.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

from generation.engine import Generation
from service.outcomes import CacheLookup

_ENOUGH_OF_THE_BUDGET = 0.8
"""A flight is joined where it may search for at least this part of the time that one's own search would have."""


@dataclass(slots=True, eq=False)
class _Flight:
    """A generation in progress, how many wait for it, and when it started and will be cut."""

    future: asyncio.Future[Generation]
    started: float
    deadline: float
    waiting: int = 0

    def serves(self, deadline: float, now: float) -> bool:
        """Whether joining is as good as starting anew: no later an answer, and no less of a search."""
        if self.future.done() or self.deadline > deadline:
            return False
        return self.deadline - self.started >= _ENOUGH_OF_THE_BUDGET * (deadline - now)


class ResultCache:
    """A bounded cache with a time to live, the least recently used out first, with single-flight in front.

    A generation that was cut short by a deadline is handed to those who waited for it and never kept.
    """

    def __init__(
        self,
        entries: int,
        ttl_seconds: float,
        on_lookup: Callable[[CacheLookup], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Keep at most ``entries`` (at least 1). ``clock`` is that of the deadlines."""
        self._entries = entries
        self._ttl_seconds = ttl_seconds
        self._on_lookup = on_lookup
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, Generation]] = OrderedDict()
        self._flights: dict[Hashable, _Flight] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(
        self, key: Hashable, deadline: float, start: Callable[[], asyncio.Future[Generation]]
    ) -> tuple[Generation, CacheLookup]:
        """Return the generation of a key, from the cache, from one in progress, or by starting it.

        A caller that is cancelled, the one that started it among them, leaves the others their generation; with the
        last one it is cancelled.

        Args:
            key: everything that the generation depends on.
            deadline: when this caller's own generation would be cut, an instant of the clock.
            start: begins a generation that is cut at ``deadline``; cancelling its future ends it.

        Raises:
            Exception: what the generation raised, to everyone who waits for it.
        """
        now = self._clock()
        kept = self._find(key, now)
        if kept is not None:
            self._on_lookup("hit")
            return kept, "hit"
        flight = self._flights.get(key)
        lookup: CacheLookup = "joined"
        if flight is None or not flight.serves(deadline, now):
            flight, lookup = self._start(key, deadline, now, start), "miss"
        self._on_lookup(lookup)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.future), lookup
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.future.done():
                self._forget(key, flight)
                flight.future.cancel()

    def _find(self, key: Hashable, now: float) -> Generation | None:
        entry = self._kept.get(key)
        if entry is None:
            return None
        expires_at, generation = entry
        if now >= expires_at:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return generation

    def _start(
        self, key: Hashable, deadline: float, now: float, start: Callable[[], asyncio.Future[Generation]]
    ) -> _Flight:
        # One that is in progress and serves this caller too late goes on for those who wait for it, unlisted.
        flight = self._flights[key] = _Flight(start(), now, deadline)
        flight.future.add_done_callback(partial(self._landed, key, flight))
        return flight

    def _landed(self, key: Hashable, flight: _Flight, future: asyncio.Future[Generation]) -> None:
        self._forget(key, flight)
        # Asking for the exception also tells asyncio that it was seen, where everyone has left.
        if future.cancelled() or future.exception() is not None:
            return
        generation = future.result()
        if generation.deadline_reached:
            return
        self._kept[key] = (self._clock() + self._ttl_seconds, generation)
        self._kept.move_to_end(key)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)

    def _forget(self, key: Hashable, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
