"""Time that is up on a busy event loop: what has arrived is seen first.

A loop that comes back late finds two things at once: that a timer has run out, and that the reply has been lying in the
socket all along. It hears of the timer first. So whoever is about to call a reply late lets the loop turn: it looks at
its sockets, it reads them, and whoever was waiting for what was read goes on. That is all there is between a reply's
arrival and the end of its exchange, since `redis_transport` waits for nothing else there; no load makes it more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_TURNS: Final = 3
"""One in which the sockets are read, one in which the readers go on, and one to come after them.

uvloop reads in the turn before, and would do with two.
"""


async def see_what_has_arrived() -> None:
    """Let the loop read its sockets, and let those go on who waited for what was in them."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """`asyncio.timeout`, but what has arrived when the time is up is seen before anything is cancelled.

    Raises:
        TimeoutError: the body took longer, and was cancelled.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        next_step: asyncio.Handle

        def time_is_up(turns_left: int) -> None:
            nonlocal next_step
            if turns_left:
                next_step = loop.call_soon(time_is_up, turns_left - 1)
            else:
                limit.reschedule(loop.time())

        next_step = loop.call_later(seconds, time_is_up, _TURNS)
        try:
            yield
        finally:
            next_step.cancel()
