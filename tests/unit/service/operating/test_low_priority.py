"""Work at low priority: in a thread of its own, so that the caller keeps its priority."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from service.operating.low_priority import NICENESS, at_low_priority


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
async def test_the_work_and_the_threads_that_it_starts_have_a_low_priority_and_the_caller_keeps_its_own():
    before, seen = niceness(), []

    def work() -> None:
        seen.append(niceness())
        inner = threading.Thread(target=lambda: seen.append(niceness()))
        inner.start()
        inner.join()

    await at_low_priority(work, "test")
    assert seen == [min(19, before + NICENESS)] * 2
    assert niceness() == before


async def test_the_result_and_the_error_of_the_work_come_back():
    assert await at_low_priority(lambda: 5, "test") == 5
    with pytest.raises(KeyError, match="why"):
        await at_low_priority(lambda: {}["why"], "test")
