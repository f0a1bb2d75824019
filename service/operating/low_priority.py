"""Runs work in a thread of low priority, so that the threads which answer requests get the processor first.

On Linux, priority belongs to a thread. A process without privileges can lower it and cannot raise it again, so each
piece of work has a thread of its own; threads that it starts have the low priority, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

NICENESS = 10
"""Added to that of the process. The thread then gets about a tenth of a contended core. With 19, a thread that holds
the interpreter lock could be kept from running, and the event loop with it, for longer."""

Result = TypeVar("Result")


async def at_low_priority(work: Callable[[], Result], name: str) -> Result:
    """Run some work in a thread of its own, and wait for it.

    If the caller is cancelled, the thread still ends its work, and the result is dropped.

    Args:
        work: what to run.
        name: of the thread.

    Raises:
        Exception: what the work raised.
    """
    return await asyncio.wrap_future(start_at_low_priority(work, name))


def start_at_low_priority(work: Callable[[], Result], name: str) -> Future[Result]:
    """Begin some work in a thread of its own; return the future of its result."""
    future: Future[Result] = Future()
    threading.Thread(target=_run, args=(work, future), name=name, daemon=True).start()
    return future


def _run(work: Callable[[], Result], future: Future[Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # refused in some sandboxes; the work is done all the same
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
    finally:
        del future, work  # else the exception would refer to itself through this frame, with all that was loaded
