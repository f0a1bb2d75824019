"""Measures event-loop lag, a delay that affects every request and that no request stage measures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

_INTERVAL_SECONDS = 0.02
_WINDOW_SECONDS = 15.0


class LoopLag:
    """A timer on the event loop that measures how late it runs."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        """Build the timer. It calls ``observe`` with each delay in seconds."""
        self._observe = observe
        self._task: asyncio.Task[None] | None = None
        self._window_ends = 0.0
        self._largest = 0.0
        self._largest_before = 0.0

    def start(self) -> None:
        """Start to measure the running event loop."""
        self._task = asyncio.create_task(self._run(), name="onebar-loop-lag")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def largest(self) -> float:
        """Return the largest delay of the last 15 to 30 seconds, in seconds."""
        return max(self._largest, self._largest_before)

    async def _run(self) -> None:
        while True:
            due = time.perf_counter() + _INTERVAL_SECONDS
            await asyncio.sleep(_INTERVAL_SECONDS)
            now = time.perf_counter()
            lag = max(0.0, now - due)
            self._observe(lag)
            if now >= self._window_ends:
                self._largest_before, self._largest = self._largest, 0.0
                self._window_ends = now + _WINDOW_SECONDS
            self._largest = max(self._largest, lag)
