"""Outages of a real Redis: a fetch never raises and never hangs, fails fast, and gets well by itself."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from feature_store import CircuitSettings, Fetched, StoreSettings, StoreUnavailable, open_store
from feature_store.publish import open_writer
from feature_store.rows import RowOptions, photo_write
from tests.integration.counting_proxy import CountingProxy
from tests.integration.outages import PATIENT, SETTINGS, eventually, is_well, load
from tests.integration.redis_servers import RedisServer


async def test_a_redis_that_is_down_at_start_is_found_when_it_comes(stopped_redis_server: RedisServer) -> None:
    store = await open_store(stopped_redis_server.url, SETTINGS)
    found = await store.fetch("p", "u", want_shown=True)
    assert (found.photo, found.user, found.shown, found.degraded) == (None, None, (), ("feature_store_down",))
    assert not await store.record_shown("u", ["q"])
    with pytest.raises(StoreUnavailable, match="start it, or correct the URL"):
        await store.ping()
    stopped_redis_server.start()
    load(stopped_redis_server)
    await eventually(lambda: is_well(store))
    assert await store.record_shown("u", ["q"])
    assert await store.ping() > 0
    await store.close()


async def test_a_redis_that_is_killed_under_load_costs_no_answer(redis_server: RedisServer) -> None:
    load(redis_server)
    store = await open_store(redis_server.url, SETTINGS)
    answers: list[Fetched] = []
    is_over = asyncio.Event()

    async def visitor() -> None:
        while not is_over.is_set():
            answers.append(await store.fetch("p", "u", want_shown=True))
            await store.record_shown("u", ["q"])
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(visitor())
        await eventually(lambda: is_well(store))
        await asyncio.to_thread(redis_server.kill)
        count = len(answers)

        async def has_degraded() -> bool:
            return len(answers) > count + 100 and answers[-1].degraded == ("feature_store_down",)

        await eventually(has_degraded)
        await asyncio.to_thread(redis_server.start)
        load(redis_server)
        await eventually(lambda: is_well(store))
        is_over.set()
    reasons = {reason for answer in answers for reason in answer.degraded}
    assert "feature_store_down" in reasons
    assert reasons <= {"feature_store_down", "feature_store_timeout"}
    await store.close()


async def test_a_restart_between_requests_costs_at_most_some_answers(redis_server: RedisServer) -> None:
    load(redis_server)
    store = await open_store(redis_server.url, SETTINGS)
    assert await is_well(store)
    redis_server.restart()
    load(redis_server)
    await eventually(lambda: is_well(store))
    await store.close()


async def test_a_late_reply_never_answers_another_question(redis_server: RedisServer) -> None:
    writer = open_writer(redis_server.url)
    names = [f"p{n}" for n in range(200)]
    writer.write([photo_write({"photo_id": name, "summary": name}, RowOptions(0)) for name in names])
    writer.close()
    store = await open_store(redis_server.url, PATIENT)
    chance = random.Random(1)
    for _ in range(30):
        hurried, patient = (chance.sample(names, 6) for _ in range(2))
        redis_server.pause()
        try:
            late = await asyncio.gather(*(store.fetch(name, timeout_seconds=0.005) for name in hurried))
        finally:
            redis_server.resume()
        # The six replies are still to come, on connections that the next six requests may use.
        found = await asyncio.gather(*(store.fetch(name) for name in patient))
        assert {answer.degraded for answer in late} == {("feature_store_timeout",)}
        assert {answer.degraded for answer in found} == {()}
        assert [answer.photo.summary for answer in found if answer.photo] == patient
    await store.close()


async def test_a_caller_that_goes_away_leaves_the_connections_whole(redis_server: RedisServer) -> None:
    load(redis_server)
    async with CountingProxy(redis_server.port) as proxy:
        store = await open_store(f"redis://127.0.0.1:{proxy.port}", SETTINGS)
        connections = proxy.connections
        for _ in range(20):
            task = asyncio.create_task(store.fetch("p"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await is_well(store)
        assert proxy.connections <= connections + 2
        await store.close()


async def test_more_requests_than_connections_are_told_so(redis_server: RedisServer) -> None:
    load(redis_server)
    settings = StoreSettings(
        timeout_seconds=5,
        socket_timeout_seconds=5,
        max_connections=2,
        warm_connections=1,
        circuit=CircuitSettings(minimum_calls=1, window_calls=1),
    )
    store = await open_store(redis_server.url, settings)
    found = await asyncio.gather(*(store.fetch("p") for _ in range(10)))
    assert {answer.degraded for answer in found} == {(), ("feature_store_busy",)}
    assert (await store.fetch("p")).degraded == (), "our own lack of connections does not open the circuit"
    await store.close()


async def test_the_log_says_once_why_and_once_that_it_is_over(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "feature_store")
    load(redis_server)
    store = await open_store(redis_server.url, SETTINGS)
    redis_server.kill()
    for _ in range(20):
        await store.fetch("p")
    redis_server.start()
    load(redis_server)
    await eventually(lambda: is_well(store))
    assert store.circuit_state == "closed"
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "requests continue without" in messages[0]
    assert "answers in time again" in messages[1]
    await store.close()


async def test_closing_while_a_redis_is_frozen_ends(redis_server: RedisServer) -> None:
    store = await open_store(redis_server.url, SETTINGS)
    redis_server.pause()
    try:
        await asyncio.gather(*(store.fetch("p", timeout_seconds=0.001) for _ in range(4)))
        async with asyncio.timeout(20):
            await store.close()
    finally:
        redis_server.resume()
    assert len(asyncio.all_tasks()) == 1
