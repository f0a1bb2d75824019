"""Spreads the work of many requests over several turns (iterations) of the event loop.

In one turn, the loop runs every task that is ready, and only then polls its sockets again. The sixteen requests of a
page become ready together, and so do requests whose store replies arrive together. Each piece of work is short, but
all of them in one turn would delay every other connection.
"""

from __future__ import annotations

import asyncio

TURN_SECONDS = 0.002
"""Work in one turn after which further work waits for the next. Rendering ordinary evidence takes a tenth of it."""


class Pacer:
    """Counts the seconds of work in the current turn of the loop. For one event loop."""

    def __init__(self, turn_seconds: float = TURN_SECONDS) -> None:
        """Allow work to begin in a turn until `turn_seconds` of work were done in it."""
        self._turn_seconds = turn_seconds
        self._spent_seconds = 0.0

    async def turn(self) -> None:
        """Wait, in the order of arrival, for a turn with time left; return at once if the current turn has some."""
        while self._spent_seconds >= self._turn_seconds:
            await asyncio.sleep(0)

    def spent(self, seconds: float) -> None:
        """Count work that was just done without an await."""
        if self._spent_seconds == 0.0:
            # Callbacks run in order: this one comes before the tasks that wait for the next turn.
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._spent_seconds += seconds

    def _begin_turn(self) -> None:
        self._spent_seconds = 0.0
