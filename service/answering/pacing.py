"""Long work of many requests, spread over turns of the event loop.

A turn runs every task that is ready before the loop looks at its sockets again. Sixteen requests of a page become ready
together, and so can any number whose store replies arrive together. Each piece of work is short, but all of them in one
turn would keep every other connection waiting.
"""

from __future__ import annotations

import asyncio

TURN_SECONDS = 0.002
"""Work of one turn after which the rest waits for the next. Gathering and rendering ordinary evidence takes a tenth."""


class Pacer:
    """Counts the seconds of work in the current turn of the loop. Belongs to one event loop."""

    def __init__(self, turn_seconds: float = TURN_SECONDS) -> None:
        """Let work begin in a turn until `turn_seconds` of it were done in that turn."""
        self._turn_seconds = turn_seconds
        self._spent_seconds = 0.0

    async def turn(self) -> None:
        """Wait for a turn that has time left, in the order of arrival. Returns at once in the current one if it has."""
        while self._spent_seconds >= self._turn_seconds:
            await asyncio.sleep(0)

    def spent(self, seconds: float) -> None:
        """Count work that was just done without awaiting anything."""
        if self._spent_seconds == 0.0:
            # Callbacks run in order: this one comes before the tasks that wait for the next turn.
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._spent_seconds += seconds

    def _begin_turn(self) -> None:
        self._spent_seconds = 0.0
