"""A Redis that answered in time is not called late because the event loop looked late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from feature_store import CircuitSettings, Fetched, Store, StoreSettings, open_store
from feature_store.publish import open_writer
from feature_store.rows import RowOptions, photo_write
from tests.integration.redis_servers import RedisClusterOfThree, RedisServer

Run = Callable[[Coroutine[Any, Any, None]], None]

SETTINGS = StoreSettings(
    timeout_seconds=0.25,
    socket_timeout_seconds=0.25,  # no longer than that: a connection must survive a busy loop, too
    connect_timeout_seconds=5,
    max_connections=40,
    warm_connections=40,
    circuit=CircuitSettings(window_calls=1000, minimum_calls=1000),
)
PHOTOS = [f"p{n}" for n in range(40)]


def load(url: str) -> None:
    writer = open_writer(url)
    writer.write([photo_write({"photo_id": photo, "summary": photo}, RowOptions(0)) for photo in PHOTOS])
    writer.close()


def asked_so_far(servers: list[RedisServer]) -> int:
    """How many HMGET the servers have answered. It blocks the event loop, as what keeps it busy does."""
    answered = 0
    for server in servers:
        with server.client() as client:
            answered += client.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"]
    return answered


def connections(servers: list[RedisServer]) -> set[str]:
    """Addresses of all clients but the one that asks."""
    addresses = set()
    for server in servers:
        with server.client() as client:
            own = client.client_id()
            addresses |= {other["addr"] for other in client.client_list() if int(other["id"]) != own}
    return addresses


async def ask_all(store: Store, timeout_seconds: float | None = None) -> list[Fetched]:
    return await asyncio.gather(*(store.fetch(p, f"user of {p}", timeout_seconds=timeout_seconds) for p in PHOTOS))


async def scene(url: str, servers: list[RedisServer]) -> None:
    load(url)
    store = await open_store(url, SETTINGS)
    try:
        async with asyncio.timeout(20):  # until all connections are made
            while any(found.degraded for found in await ask_all(store, 5)):
                pass
        connected = connections(servers)
        for _ in range(2):
            before = asked_so_far(servers)
            asked = asyncio.create_task(ask_all(store))
            async with asyncio.timeout(20):
                while asked_so_far(servers) < before + 2 * len(PHOTOS):
                    await asyncio.sleep(0)
            time.sleep(2 * SETTINGS.timeout_seconds)  # the loop is busy until long after time is up
            for photo, found in zip(PHOTOS, await asked, strict=True):
                assert found.degraded == ()
                assert found.photo is not None
                assert found.photo.summary == photo
        assert connections(servers) <= connected, "no connection was given up and made anew"
    finally:
        await store.close()


on_each_loop = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@on_each_loop
def test_on_one_server(redis_server: RedisServer, run: Run) -> None:
    run(scene(redis_server.url, [redis_server]))


@on_each_loop
def test_over_tls(secure_redis_server: RedisServer, run: Run) -> None:
    run(scene(secure_redis_server.url, [secure_redis_server]))


@on_each_loop
def test_on_a_cluster_over_tls(secure_redis_cluster: RedisClusterOfThree, run: Run) -> None:
    run(scene(secure_redis_cluster.url, secure_redis_cluster.servers))


@on_each_loop
def test_on_a_cluster(redis_cluster: RedisClusterOfThree, run: Run) -> None:
    run(scene(redis_cluster.url, redis_cluster.servers))
