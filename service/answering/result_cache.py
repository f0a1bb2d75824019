"""The result cache: generations are kept for equal inputs, and requests join a generation that is in progress.

A generation depends only on the key: model version, constraints, options and token ids. The policy and the queries that
a viewer was shown lately are applied to each request afterwards. Everything runs on one event loop, so there are no
locks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial

from cachetools import LRUCache

from evidence.kept import bytes_of, sized
from generation.engine import Generation
from service.outcomes import CacheLookup

_ENOUGH_OF_THE_BUDGET = 0.8
"""A request joins a flight only if that may search for at least this share of the time that the request itself has."""

_FLOATS = (0.0,) * 5
"""The floats of an entry: four measurements, and when it expires."""


@dataclass(slots=True, eq=False)
class _Flight:
    """A generation in progress: its future, when it started and will be cut, and how many requests wait for it."""

    future: asyncio.Future[Generation]
    started: float
    deadline: float
    waiting: int = 0

    def serves(self, deadline: float, now: float) -> bool:
        """Whether joining is as good as a new generation: it ends no later, and its search is not much shorter."""
        if self.future.done() or self.deadline > deadline:
            return False
        return self.deadline - self.started >= _ENOUGH_OF_THE_BUDGET * (deadline - now)


class ResultCache:
    """An LRU cache with a time to live, bounded by bytes. Equal requests at the same time share one generation.

    A generation that was cut by a deadline goes to the requests that waited for it, and is not kept.
    """

    def __init__(
        self,
        max_bytes: int,
        ttl_seconds: float,
        on_lookup: Callable[[CacheLookup], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Make an empty cache.

        Args:
            max_bytes: of keys and generations, over 0.
            ttl_seconds: how long a generation is kept.
            on_lookup: is told the result of each lookup.
            clock: the clock of the deadlines, in seconds.
        """
        self._ttl_seconds = ttl_seconds
        self._on_lookup = on_lookup
        self._clock = clock
        self._kept: LRUCache[Hashable, tuple[tuple[float, Generation], int]] = LRUCache(max_bytes, bytes_of)
        self._flights: dict[Hashable, _Flight] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of what is kept."""
        return int(self._kept.currsize)

    async def get(
        self, key: Hashable, deadline: float, start: Callable[[], asyncio.Future[Generation]]
    ) -> tuple[Generation, CacheLookup]:
        """Return the generation of a key: from the cache, from one in progress, or from a new one.

        A generation is cancelled when the last caller that waits for it is cancelled, and not before.

        Args:
            key: everything that the generation depends on.
            deadline: when this caller's own generation would be cut, an instant of the clock.
            start: begins a generation that is cut at ``deadline``; cancelling its future ends it.

        Raises:
            Exception: what the generation raised; every caller that waits for it gets it.
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
        expires_at, generation = entry[0]
        if now >= expires_at:
            del self._kept[key]
            return None
        return generation

    def _start(
        self, key: Hashable, deadline: float, now: float, start: Callable[[], asyncio.Future[Generation]]
    ) -> _Flight:
        # A flight that would serve this caller too late goes on for its own callers, but no other request can join it.
        flight = self._flights[key] = _Flight(start(), now, deadline)
        flight.future.add_done_callback(partial(self._landed, key, flight))
        return flight

    def _landed(self, key: Hashable, flight: _Flight, future: asyncio.Future[Generation]) -> None:
        self._forget(key, flight)
        # Reading the exception also tells asyncio that it was handled, in case every caller has been cancelled.
        if future.cancelled() or future.exception() is not None:
            return
        generation = future.result()
        if generation.deadline_reached:
            return
        entry = sized((self._clock() + self._ttl_seconds, generation), _parts(key, generation))
        if bytes_of(entry) <= self._kept.maxsize:
            self._kept[key] = entry

    def _forget(self, key: Hashable, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def _parts(key: Hashable, generation: Generation) -> Iterator[object]:
    """The objects of an entry, as far as other entries do not share them."""
    yield key
    if isinstance(key, tuple):
        yield key[-1]  # the token ids; what is before them is the same for all requests
    yield from (generation, generation.hypotheses, *_FLOATS)
    for hypothesis in generation.hypotheses:
        yield from (hypothesis, hypothesis.token_ids, *hypothesis.token_ids, hypothesis.sum_logprobs, hypothesis.score)
