"""A Redis that holds or says anything: a fetch never raises, and neither memory nor decoding is without a bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from feature_store import Fetched, StoreSettings, open_store
from feature_store.keys import photo_key, shown_key, user_key
from feature_store.records import PHOTO_HASH_FIELDS
from feature_store.redis_transport import MAX_REPLY_BYTES
from tests.integration.redis_servers import RedisClusterOfThree, RedisServer

PATIENT = StoreSettings(timeout_seconds=5, socket_timeout_seconds=5, connect_timeout_seconds=5, warm_connections=1)
QUARTER = 256 * 1024

VALUES = {
    "zeros without end": b"\x00" * QUARTER,
    "a list without end": b"[" + b'"",' * (QUARTER // 3) + b'""]',
    "an object without end": b"{" + b'"a":{},' * (QUARTER // 7) + b'"b":{}}',
    "deep brackets": b"[" * QUARTER,
    "a vector that claims 65,536 rows": b"\x01\x01\x00\x20\x00\x00\x01\x00\x02m1" + b"\x00" * QUARTER,
    "a header alone": b"\x01\x02\xff\xff\xff\xff\xff\xff\xff",
    "no UTF-8": b"\xff\xfe\x80" * 100,
    "a lone surrogate": b'["\\ud800"]',
    "infinity": b"[Infinity]",
    "null": b"null",
}


async def ask(url: str, settings: StoreSettings = PATIENT) -> Fetched:
    store = await open_store(url, settings)
    try:
        return await store.fetch("p", "u", want_shown=True)
    finally:
        await store.close()


@pytest.mark.parametrize("name", VALUES)
async def test_one_hostile_value_in_every_field(redis_server: RedisServer, name: str) -> None:
    with redis_server.client() as client:
        for field in ("text", "anchors", "histories", "embedding", "text_at"):
            client.hset(photo_key("p"), field, VALUES[name])
        client.hset(photo_key("p"), "summary", "good")
        for field in ("queries", "embeddings", "updated_at"):
            client.hset(user_key("u"), field, VALUES[name])
        client.zadd(shown_key("u"), {VALUES[name] + b"\xff" * 2000: 2**41, b"good": 2**41})
    found = await ask(redis_server.url)
    assert found.photo is not None
    assert found.user is not None
    assert found.photo.summary == "good"
    assert (found.photo.anchors, found.photo.histories, found.photo.embedding) == ((), (), None)
    assert (found.user.queries, found.user.embeddings) == ((), None)
    assert [query for query, _ in found.shown] == ["good"]
    assert found.degraded == ("photo_field_unreadable", "user_unreadable", "shown_unreadable")


@pytest.mark.parametrize("kind", ["single", "cluster"])
async def test_a_huge_value_ends_its_exchange_and_nothing_else(kind: str, request: pytest.FixtureRequest) -> None:
    server: RedisServer | RedisClusterOfThree
    server = request.getfixturevalue("redis_server" if kind == "single" else "redis_cluster")
    one = server.server_of(photo_key("huge")) if isinstance(server, RedisClusterOfThree) else server
    with one.client() as client:
        client.hset(photo_key("huge"), "summary", b"x" * (2 * MAX_REPLY_BYTES))
        before = client.info("stats")["total_net_output_bytes"]
    store = await open_store(server.url, PATIENT)
    assert (await store.fetch("huge")).degraded == ("feature_store_down",)
    assert (await store.fetch("p")).degraded == ()
    await store.close()
    with one.client() as client:
        assert client.info("stats")["total_net_output_bytes"] > before + 4 * QUARTER, "it was really asked for"
        client.delete(photo_key("huge"))


REPLIES = {
    "nothing": b"$-1\r\n",
    "a number": b":7\r\n",
    "a string": b"+OK\r\n",
    "an empty list": b"*0\r\n",
    "a list that is too short": b"*1\r\n$1\r\na\r\n",
    "a list that is too long": b"*20\r\n" + b"$1\r\na\r\n" * 20,
    "numbers": b"*%d\r\n" % len(PHOTO_HASH_FIELDS) + b":5\r\n" * len(PHOTO_HASH_FIELDS),
    "lists within": b"*%d\r\n" % len(PHOTO_HASH_FIELDS) + b"*1\r\n:5\r\n" * len(PHOTO_HASH_FIELDS),
    "an odd number of members": b"*3\r\n$1\r\na\r\n$1\r\n5\r\n$1\r\nb\r\n",
    "an error": b"-ERR no\r\n",
    "an error of a kind that is not known": b"-STRANGE \xff\xfe\r\n",
    "no Redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a length of minus five": b"$-5\r\n",
    "a length without end": b"$99999999999999999999\r\n",
    "a list without end": b"*2147483647\r\n",
    "half a reply": b"*12\r\n$5\r\nab",
}


@asynccontextmanager
async def saying(reply: bytes) -> AsyncIterator[str]:
    """A server that answers PING, and each other command with this."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            commands = data.count(b"HMGET") + data.count(b"ZREVRANGEBYSCORE")
            writer.write(reply * commands or b"+PONG\r\n")
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("name", REPLIES)
async def test_a_server_that_is_no_redis_degrades_the_answer(name: str) -> None:
    settings = StoreSettings(timeout_seconds=0.3, socket_timeout_seconds=0.3, warm_connections=1)
    async with saying(REPLIES[name]) as url:
        found = await ask(url, settings)
    assert found.degraded
    assert found.photo is None or found.photo.anchors == ()
