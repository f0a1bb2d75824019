"""Fail fast: after some failures in a row stop asking a server, and let one probe at a time find out when it is back.

A dead server would otherwise cost its timeout on each request. While the circuit is open no request asks; a background
task does, with the patience that connecting needs, so that no request ever pays for a probe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


class Circuit:
    """State of one server: closed (asked), or open (not asked, probed in the background).

    Belongs to one event loop. `close` ends the probing.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[bool]],
        *,
        failure_threshold: int,
        probe_interval_seconds: float,
        probe_interval_max_seconds: float,
    ) -> None:
        """Make a closed circuit.

        Args:
            name: of the server, for the log.
            probe: tells whether the server answers; must not raise.
            failure_threshold: failures in a row that open the circuit.
            probe_interval_seconds: wait before the first probe; doubles after each that fails.
            probe_interval_max_seconds: the longest wait.
        """
        self._name = name
        self._probe = probe
        self._threshold = failure_threshold
        self._first_wait = self._wait = probe_interval_seconds
        self._longest_wait = probe_interval_max_seconds
        self._failures = 0
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests must not ask."""
        return self._probing is not None

    def succeeded(self) -> None:
        """Count an answer."""
        self._failures = 0
        self._wait = self._first_wait

    def failed(self, reason: str) -> None:
        """Count a failure; the last of `failure_threshold` in a row opens the circuit."""
        self._failures += 1
        if self._failures >= self._threshold:
            self.open(reason)

    def open(self, reason: str) -> None:
        """Stop asking, and begin to probe."""
        if self._probing is None:
            logger.warning("%s; requests go on without %s until it answers", reason, self._name)
            self._probing = asyncio.create_task(self._probe_until_back())

    async def _probe_until_back(self) -> None:
        # The wait starts small again only after a real answer: a server that answers probes and nothing else is
        # asked ever more rarely.
        is_back = False
        while not is_back:
            await asyncio.sleep(self._wait)
            self._wait = min(2 * self._wait, self._longest_wait)
            is_back = await self._probe()
        self._failures = 0
        self._probing = None
        logger.warning("%s answers again", self._name)

    async def close(self) -> None:
        """End the probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
