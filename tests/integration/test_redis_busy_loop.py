"""A Redis that answered in time is not called late because the event loop looked late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from feature_store import StoreSettings, open_store
from feature_store.publish import open_writer
from feature_store.rows import RowOptions, photo_write
from tests.integration.redis_servers import RedisClusterOfThree, RedisServer

Run = Callable[[Coroutine[Any, Any, None]], None]

SETTINGS = StoreSettings(
    timeout_seconds=0.05,
    socket_timeout_seconds=0.05,  # no longer than that: a connection must survive a busy loop, too
    connect_timeout_seconds=5,
    max_connections=40,
    warm_connections=40,
    failure_threshold=1000,
)
PHOTOS = [f"p{n}" for n in range(40)]


def load(url: str) -> None:
    writer = open_writer(url)
    writer.write([photo_write({"photo_id": photo, "summary": photo}, RowOptions(0)) for photo in PHOTOS])
    writer.close()


def total(servers: list[RedisServer], section: str, entry: str, count: str) -> int:
    """One count of INFO over all servers. It blocks the event loop, as what keeps it busy does."""
    found = 0
    for server in servers:
        with server.client() as client:
            value = client.info(section).get(entry, 0)
            found += value[count] if isinstance(value, dict) else value
    return found


async def scene(url: str, servers: list[RedisServer]) -> None:
    load(url)
    store = await open_store(url, SETTINGS)
    for photo in PHOTOS:  # every node is connected to
        assert (await store.fetch(photo, timeout_seconds=5)).degraded == ()

    def answers() -> int:
        return total(servers, "commandstats", "cmdstat_hmget", "calls")

    async def ask_all() -> None:
        before = answers()
        asked = [asyncio.create_task(store.fetch(photo, f"user of {photo}")) for photo in PHOTOS]
        async with asyncio.timeout(20):
            while answers() < before + 2 * len(PHOTOS):
                await asyncio.sleep(0)
        time.sleep(2 * SETTINGS.timeout_seconds)  # the loop is busy until long after time is up
        for photo, found in zip(PHOTOS, await asyncio.gather(*asked), strict=True):
            assert found.degraded == ()
            assert found.photo is not None
            assert found.photo.summary == photo

    await ask_all()
    connections = total(servers, "clients", "connected_clients", "")
    await ask_all()
    assert total(servers, "clients", "connected_clients", "") == connections, "no connection was given up"
    await store.close()


on_each_loop = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@on_each_loop
def test_on_one_server(redis_server: RedisServer, run: Run) -> None:
    run(scene(redis_server.url, [redis_server]))


@on_each_loop
def test_over_tls(secure_redis_server: RedisServer, run: Run) -> None:
    run(scene(secure_redis_server.url, [secure_redis_server]))


@on_each_loop
def test_on_a_cluster(redis_cluster: RedisClusterOfThree, run: Run) -> None:
    run(scene(redis_cluster.url, redis_cluster.servers))
