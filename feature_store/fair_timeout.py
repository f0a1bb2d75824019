"""Timeouts on a busy event loop: a reply that has arrived in time is read before the timeout takes effect.

A loop that was busy finds two things ready at once: a timer that has expired, and the reply in the socket. It runs the
timer first. So before a reply is called late, the loop must run a few more iterations: it polls its sockets, reads
them, and resumes the code that waited for the data. Nothing else lies between the arrival of a reply and the end of its
exchange, because `redis_transport` waits for nothing else there; no load makes it more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_ITERATIONS: Final = 3
"""One that reads the sockets, one that resumes the readers, one for the code after them. uvloop would need two."""


async def let_the_loop_read() -> None:
    """Let the loop read its sockets and resume the code that waited for their data."""
    for _ in range(_ITERATIONS):
        await asyncio.sleep(0)


@asynccontextmanager
async def fair_timeout(seconds: float) -> AsyncIterator[None]:
    """Like `asyncio.timeout`, but data that has arrived by then is read before anything is cancelled.

    Args:
        seconds: How long the body may take.

    Raises:
        TimeoutError: The body took longer, and was cancelled.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        next_step: asyncio.Handle

        def expire(iterations_left: int) -> None:
            nonlocal next_step
            if iterations_left:
                next_step = loop.call_soon(expire, iterations_left - 1)
            else:
                limit.reschedule(loop.time())

        next_step = loop.call_later(seconds, expire, _ITERATIONS)
        try:
            yield
        finally:
            next_step.cancel()
