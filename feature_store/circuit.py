"""A circuit breaker for one server: it decides whether requests may ask, from how the last calls ended.

- `closed`: requests ask. Each call is recorded as good, slow or failed in a sliding window that is bounded both in
  calls and in time. When the window holds enough calls and too many of them were bad, the circuit opens.
- `open`: requests do not ask. A background task waits, then reconnects to the server.
- `half_open`: requests still do not ask. The background task makes a few probes, one at a time, each under the
  timeout of a request. If all are answered in time, the circuit closes; if one is not, it opens again.

No request ever pays for a probe, and a server that answers, but later than requests wait, stays left alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from feature_store.settings import CircuitSettings

logger = logging.getLogger(__name__)

CircuitState = Literal["closed", "half_open", "open"]
CIRCUIT_STATES: Final[tuple[CircuitState, ...]] = ("closed", "half_open", "open")
"""From the best to the worst; the position is the value for a gauge."""

Outcome = Literal["good", "slow", "failed"]
Check = Callable[[], Awaitable[bool]]


class _Window:
    """Outcomes of the last calls: at most `calls` of them, none older than `seconds`."""

    def __init__(self, calls: int, seconds: float, clock: Callable[[], float]) -> None:
        self._calls = calls
        self._seconds = seconds
        self._clock = clock
        self._entries: deque[tuple[float, Outcome]] = deque()
        self._counts: Counter[Outcome] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, outcome: Outcome) -> None:
        now = self._clock()
        self._entries.append((now, outcome))
        self._counts[outcome] += 1
        while len(self._entries) > self._calls or self._entries[0][0] < now - self._seconds:
            self._counts[self._entries.popleft()[1]] -= 1

    def share(self, *outcomes: Outcome) -> float:
        """Return the share of the calls that ended in one of these ways."""
        return sum(self._counts[outcome] for outcome in outcomes) / len(self._entries)

    def clear(self) -> None:
        self._entries.clear()
        self._counts.clear()


class Circuit:
    """The breaker of one server. It belongs to one event loop; `close` ends its background task."""

    def __init__(
        self,
        name: str,
        settings: CircuitSettings,
        *,
        reconnect: Check,
        probe: Check,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a closed circuit.

        Args:
            name: The server's name, for the log.
            settings: When it opens, and how it probes.
            reconnect: Says whether the server answers at all; patient; must not raise.
            probe: Says whether the server answers in the time that a request waits; must not raise.
            clock: Seconds, for the window.
        """
        self._name = name
        self._settings = settings
        self._reconnect = reconnect
        self._probe = probe
        self._window = _Window(settings.window_calls, settings.window_seconds, clock)
        self._state: CircuitState = "closed"
        self._wait = settings.probe_interval_seconds
        self._recovery: asyncio.Task[None] | None = None
        self._is_ended = False

    @property
    def state(self) -> CircuitState:
        """The state now."""
        return self._state

    @property
    def next_wait_seconds(self) -> float:
        """The wait before the next attempt to reconnect."""
        return self._wait

    def record(self, outcome: Outcome, reason: str = "") -> None:
        """Count how one call ended; opens the circuit when too many were bad.

        Args:
            outcome: "slow" is a call that was not answered in the time that a request waits, whatever came later.
            reason: What was wrong, for the log.
        """
        if self._state != "closed":  # the call began before the circuit opened
            return
        window, settings = self._window, self._settings
        window.add(outcome)
        if len(window) < settings.minimum_calls:
            return
        failed, bad = window.share("failed"), window.share("failed", "slow")
        if failed >= settings.failure_rate or bad >= settings.slow_rate:
            self.open(f"{reason} ({failed:.0%} of the last {len(window)} calls failed, {bad - failed:.0%} were slow)")
        elif outcome == "good":
            self._wait = settings.probe_interval_seconds

    def open(self, reason: str) -> None:
        """Stop asking, and start to probe in the background."""
        if self._state == "closed" and not self._is_ended:
            logger.warning("%s; requests continue without %s until it answers in time", reason, self._name)
            self._state = "open"
            self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        # The wait is reset by good calls, not by probes: a server that answers probes and then fails its requests is
        # tried more and more rarely.
        while True:
            self._state = "open"
            await asyncio.sleep(self._wait)
            self._wait = min(2 * self._wait, self._settings.probe_interval_max_seconds)
            if await self._reconnect():
                self._state = "half_open"
                if await self._passes_probes():
                    break
        self._window.clear()
        self._state = "closed"
        logger.warning("%s answers in time again", self._name)

    async def _passes_probes(self) -> bool:
        for _ in range(self._settings.probes):
            if not await self._probe():
                return False
        return True

    async def close(self) -> None:
        """End the background task; none is started after it."""
        self._is_ended = True
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
