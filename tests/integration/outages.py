"""What tests of outages share: settings, a row in Redis, and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from feature_store import Store, StoreSettings
from feature_store.publish import open_writer
from feature_store.rows import RowOptions, photo_write
from tests.integration.redis_servers import IMPATIENT, RedisServer

SETTINGS = IMPATIENT

PATIENT = StoreSettings(timeout_seconds=10, socket_timeout_seconds=10, connect_timeout_seconds=10, max_connections=64)

NEVER_PROBES = StoreSettings(
    timeout_seconds=0.1,
    socket_timeout_seconds=10,
    connect_timeout_seconds=10,
    circuit=replace(IMPATIENT.circuit, probe_interval_seconds=60, probe_interval_max_seconds=60),
)


def load(server: RedisServer) -> None:
    writer = open_writer(server.url)
    writer.write([photo_write({"photo_id": "p", "summary": "s"}, RowOptions(0))])
    writer.close()


async def eventually(ask: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await ask():
            await asyncio.sleep(0.005)


async def is_well(store: Store) -> bool:
    found = await store.fetch("p", "u", want_shown=True)
    return found.degraded == () and found.photo is not None
