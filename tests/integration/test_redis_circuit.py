"""A real Redis that is frozen or late: the circuit opens, asks nothing, probes, and closes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from feature_store import Store, open_store
from feature_store.keys import photo_key, user_key
from tests.integration.counting_proxy import CountingProxy
from tests.integration.outages import NEVER_PROBES, SETTINGS, eventually, is_well, load
from tests.integration.redis_servers import RedisServer


async def ask_until_open(store: Store, timeout_seconds: float | None = None) -> None:
    """Ask one after another; each call must time out until the circuit opens, which a window of them must do."""
    for _ in range(SETTINGS.circuit.window_calls):
        if store.circuit_state == "open":
            return
        assert (await store.fetch("p", timeout_seconds=timeout_seconds)).degraded == ("feature_store_timeout",)
    assert store.circuit_state == "open"


async def test_a_frozen_redis_times_out_then_is_left_alone_then_is_used_again(redis_server: RedisServer) -> None:
    load(redis_server)
    async with CountingProxy(redis_server.port) as proxy:
        store = await open_store(f"redis://127.0.0.1:{proxy.port}", SETTINGS)
        assert await is_well(store)
        redis_server.pause()
        try:
            await ask_until_open(store)
            assert (await store.fetch("p")).degraded == ("feature_store_down",)
        finally:
            redis_server.resume()
        await eventually(lambda: is_well(store))
        await store.close()


async def test_an_open_circuit_asks_nothing(redis_server: RedisServer) -> None:
    async with CountingProxy(redis_server.port) as proxy:
        store = await open_store(f"redis://127.0.0.1:{proxy.port}", NEVER_PROBES)
        redis_server.pause()
        try:
            await ask_until_open(store)
            trips, connections = proxy.round_trips, proxy.connections
            for _ in range(100):
                assert (await store.fetch("p", "u")).degraded == ("feature_store_down",)
                assert not await store.record_shown("u", ["q"])
            assert (proxy.round_trips, proxy.connections) == (trips, connections)
        finally:
            redis_server.resume()
        await store.close()


async def test_callers_in_a_hurry_say_nothing_about_a_server_that_answers_in_time(redis_server: RedisServer) -> None:
    load(redis_server)
    settings = replace(NEVER_PROBES, timeout_seconds=10)
    store = await open_store(redis_server.url, settings)
    for _ in range(3 * settings.circuit.window_calls):
        assert (await store.fetch("p", timeout_seconds=0)).degraded == ("feature_store_timeout",)
        assert (await store.fetch("p", timeout_seconds=1e-9)).degraded in (("feature_store_timeout",), ())
    found = await store.fetch("p")
    assert found.photo is not None
    assert store.circuit_state == "closed"
    await store.close()


async def test_a_redis_that_never_answers_opens_the_circuit_under_callers_in_a_hurry(redis_server: RedisServer) -> None:
    settings = replace(NEVER_PROBES, timeout_seconds=0.02, socket_timeout_seconds=0.05)
    store = await open_store(redis_server.url, settings)
    redis_server.pause()
    try:

        async def has_opened() -> bool:
            await store.fetch("p", timeout_seconds=0.9 * settings.timeout_seconds)
            return store.circuit_state == "open"

        await eventually(has_opened)
    finally:
        redis_server.resume()
    await store.close()


@pytest.mark.parametrize("timeout_seconds", [None, 0.009], ids=["patient", "in a hurry"])
async def test_a_redis_that_always_answers_late_is_left_alone(
    redis_server: RedisServer, timeout_seconds: float | None
) -> None:
    """The replies come, and the connections stay: without counting late replies nothing would be wrong here."""
    load(redis_server)
    async with CountingProxy(redis_server.port, reply_delay_seconds=0.05) as proxy:
        settings = replace(
            SETTINGS,
            timeout_seconds=0.01,
            socket_timeout_seconds=5,
            circuit=replace(SETTINGS.circuit, probe_interval_seconds=0.005),
        )
        store = await open_store(f"redis://127.0.0.1:{proxy.port}", settings)

        async def has_opened() -> bool:
            await store.fetch("p", timeout_seconds=timeout_seconds)
            return store.circuit_state == "open"

        await eventually(has_opened)
        trips = proxy.round_trips

        async def has_probed() -> bool:
            assert store.circuit_state != "closed", "a late probe must not close it"
            assert (await store.fetch("p")).degraded == ("feature_store_down",)
            return proxy.round_trips >= trips + 20

        await eventually(has_probed)
        proxy.reply_delay_seconds = 0
        await eventually(lambda: is_well(store))
        await store.close()


async def test_a_probe_asks_what_the_newest_refused_request_wanted(redis_server: RedisServer) -> None:
    """The one key that cannot be read in time must not keep the circuit open for all others."""
    store = await open_store(redis_server.url, SETTINGS)
    redis_server.pause()
    try:
        while store.circuit_state != "open":
            await store.fetch("the first one")
        assert (await store.fetch("p", "u")).degraded == ("feature_store_down",), "it was never sent"
    finally:
        redis_server.resume()
    with redis_server.client() as client, client.monitor() as monitor:
        seen = ""
        async with asyncio.timeout(20):
            while not (f"HMGET {photo_key('p')} " in seen and f"HMGET {user_key('u')} " in seen):
                seen += (await asyncio.to_thread(monitor.next_command))["command"]
    await store.close()
