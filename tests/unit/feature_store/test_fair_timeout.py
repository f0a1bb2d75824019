"""Timeouts on a busy loop: data that has arrived is no timeout, missing data is one."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from feature_store.fair_timeout import fair_timeout, let_the_loop_read

Run = Callable[[Coroutine[Any, Any, None]], None]

on_each_loop = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


async def reader_of_a_pair() -> tuple[asyncio.StreamReader, asyncio.StreamWriter, socket.socket]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    return reader, writer, theirs


@on_each_loop
def test_what_came_while_the_loop_was_busy_is_read(run: Run) -> None:
    async def scene() -> None:
        reader, writer, theirs = await reader_of_a_pair()

        def be_busy_until_time_is_up() -> None:
            theirs.sendall(b"reply")
            time.sleep(0.02)

        async with fair_timeout(0.01):
            asyncio.get_running_loop().call_soon(be_busy_until_time_is_up)
            assert await reader.readexactly(5) == b"reply"
        writer.close()
        theirs.close()

    run(scene())


@on_each_loop
def test_a_reader_of_arrived_data_is_resumed_first(run: Run) -> None:
    async def scene() -> None:
        reader, writer, theirs = await reader_of_a_pair()
        reading = asyncio.create_task(reader.readexactly(5))
        await asyncio.sleep(0)
        theirs.sendall(b"reply")
        await let_the_loop_read()
        assert reading.done()
        writer.close()
        theirs.close()

    run(scene())


@on_each_loop
def test_silence_is_a_timeout(run: Run) -> None:
    async def scene() -> None:
        reader, writer, theirs = await reader_of_a_pair()
        with pytest.raises(TimeoutError):
            async with fair_timeout(0.001):
                await reader.readexactly(5)
        writer.close()
        theirs.close()

    run(scene())


@on_each_loop
def test_half_a_reply_is_a_timeout(run: Run) -> None:
    async def scene() -> None:
        reader, writer, theirs = await reader_of_a_pair()
        theirs.sendall(b"re")
        with pytest.raises(TimeoutError):
            async with fair_timeout(0.001):
                await reader.readexactly(5)
        writer.close()
        theirs.close()

    run(scene())


async def test_a_finished_body_is_not_cancelled_later() -> None:
    async with fair_timeout(0.001):
        pass
    await asyncio.sleep(0.005)


async def test_a_timeout_in_the_last_iteration_does_not_cancel_a_finished_body() -> None:
    arrived = asyncio.Event()
    async with fair_timeout(0):
        asyncio.get_running_loop().call_soon(arrived.set)
        await arrived.wait()
    await let_the_loop_read()
    await let_the_loop_read()


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def wait() -> None:
        async with fair_timeout(10):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
