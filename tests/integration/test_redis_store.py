"""The store on a real Redis: every field there and back, one round trip, lives renewed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from redis.exceptions import RedisError

from evidence.embedding import DIMENSION, EMBEDDING_VERSION, embed
from evidence.schema import RawText
from feature_store import Store, StoreSettings, StoreUnavailable, open_store
from feature_store.keys import photo_key, shown_key, user_key
from feature_store.publish import open_writer
from feature_store.rows import RowOptions, photo_write, user_write, vector_bytes
from feature_store.vectors import VectorType, encode_vectors
from tests.integration.counting_proxy import CountingProxy
from tests.integration.redis_servers import RedisServer

PATIENT = StoreSettings(timeout_seconds=5, socket_timeout_seconds=5, connect_timeout_seconds=5)
QUERIES = ["cfmoto 675nk price", "摩托车头盔", "rain jacket"]
PHOTO: dict[str, Any] = {
    "photo_id": "视频 {1}%",
    "caption": "New bike 🏍 day",
    "photo_title": None,
    "title": "675NK 提车",
    "item_title": "CFMOTO 675NK",
    "summary": "The video shows a motorcycle.",
    "anchors": ["cfmoto 675nk", "675nk exhaust"],
    "histories": ["675nk price"],
    "category": "motorcycles",
    "embedding": vector_bytes(embed(["new bike day"])),
    "embedding_version": EMBEDDING_VERSION,
    "updated_at": 1_700_000_000_000,
}
USER: dict[str, Any] = {
    "user_id": "u{1}",
    "queries": QUERIES,
    "embeddings": vector_bytes(embed(QUERIES)),
    "embedding_version": EMBEDDING_VERSION,
    "updated_at": 1_700_000_000_001,
}


def load(url: str, *, vector_type: VectorType = "fp16", ttl_seconds: int = 1000, **changes: Any) -> None:
    options = RowOptions(now_ms=0, vector_type=vector_type)
    writer = open_writer(url, ttl_seconds)
    writer.write([photo_write(PHOTO | changes, options), user_write(USER, options)])
    writer.close()


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    opened = await open_store(redis_server.url, PATIENT)
    yield opened
    await opened.close()


@pytest.mark.parametrize(("vector_type", "error"), [("fp16", 5e-4), ("int8", 5e-3)])
async def test_every_field_goes_there_and_back(
    redis_server: RedisServer, store: Store, vector_type: VectorType, error: float
) -> None:
    load(redis_server.url, vector_type=vector_type)
    found = await store.fetch(PHOTO["photo_id"], USER["user_id"], want_shown=True)
    photo, user = found.photo, found.user
    assert found.degraded == ()
    assert photo is not None
    assert user is not None
    assert photo.raw == RawText("New bike 🏍 day", None, "675NK 提车", "CFMOTO 675NK")
    assert (photo.summary, photo.category) == (PHOTO["summary"], "motorcycles")
    assert (photo.anchors, photo.histories) == (("cfmoto 675nk", "675nk exhaust"), ("675nk price",))
    assert photo.embedding is not None
    assert photo.embedding.shape == (DIMENSION,)
    np.testing.assert_allclose(photo.embedding, embed(["new bike day"])[0], atol=error)
    assert set(photo.updated_at.values()) == {1_700_000_000_000}
    assert set(photo.updated_at) == {"text", "summary", "anchors", "histories", "category", "embedding"}
    assert user.queries == tuple(QUERIES)
    np.testing.assert_allclose(user.embeddings, embed(QUERIES), atol=error)
    assert (user.embedding_version, user.updated_at) == (EMBEDDING_VERSION, 1_700_000_000_001)
    assert found.shown == ()


async def test_what_is_not_stored_is_no_degradation(store: Store) -> None:
    found = await store.fetch("unknown", "nobody", want_shown=True)
    assert (found.photo, found.user, found.shown, found.degraded) == (None, None, (), ())


async def test_a_refresh_of_one_field_renews_the_life_of_all(redis_server: RedisServer, store: Store) -> None:
    load(redis_server.url, ttl_seconds=100)
    key = photo_key(PHOTO["photo_id"])
    with redis_server.client() as client:
        assert 0 < client.ttl(key) <= 100
        writer = open_writer(redis_server.url, 5000)
        row = {"photo_id": PHOTO["photo_id"], "anchors": ["fresh"], "updated_at": 5}
        writer.write([photo_write(row, RowOptions(0))])
        writer.close()
        assert 100 < client.ttl(key) <= 5000
    photo = (await store.fetch(PHOTO["photo_id"])).photo
    assert photo is not None
    assert (photo.anchors, photo.summary) == (("fresh",), PHOTO["summary"])
    assert (photo.updated_at["anchors"], photo.updated_at["summary"]) == (5, 1_700_000_000_000)


def test_a_life_of_zero_is_for_ever(redis_server: RedisServer) -> None:
    load(redis_server.url, ttl_seconds=100)
    load(redis_server.url, ttl_seconds=0)
    with redis_server.client() as client:
        assert client.ttl(photo_key(PHOTO["photo_id"])) == -1


async def test_a_fetch_is_one_round_trip(redis_server: RedisServer) -> None:
    load(redis_server.url)
    async with CountingProxy(redis_server.port) as proxy:
        store = await open_store(f"redis://127.0.0.1:{proxy.port}", PATIENT)
        await store.record_shown(USER["user_id"], ["seen"])
        trips, connections = proxy.round_trips, proxy.connections
        with redis_server.client() as client:
            client.config_resetstat()
            for _ in range(10):
                found = await store.fetch(PHOTO["photo_id"], USER["user_id"], want_shown=True)
                assert found.photo is not None
                assert found.user is not None
                assert len(found.shown) == 1
            assert proxy.round_trips - trips == 10
            assert proxy.connections == connections
            calls = {name: stat["calls"] for name, stat in client.info("commandstats").items()}
        await store.close()
    # "config" and "info" are this test's own.
    del calls["cmdstat_config|resetstat"]
    assert calls == {"cmdstat_hmget": 20, "cmdstat_zrevrangebyscore": 10}


async def test_recording_what_was_shown_is_one_round_trip_too(redis_server: RedisServer) -> None:
    async with CountingProxy(redis_server.port) as proxy:
        store = await open_store(f"redis://127.0.0.1:{proxy.port}", PATIENT)
        trips = proxy.round_trips
        assert await store.record_shown("u", QUERIES)
        assert proxy.round_trips - trips == 1
        await store.close()


async def test_a_shown_query_that_is_no_unicode_does_no_harm(store: Store) -> None:
    assert await store.record_shown("u", ["a\ud800"])
    assert [query for query, _ in (await store.fetch(None, "u", want_shown=True)).shown] == ["a?"]


async def test_shown_queries_are_kept_for_a_window_and_up_to_a_limit(redis_server: RedisServer) -> None:
    settings = StoreSettings(
        timeout_seconds=5, socket_timeout_seconds=5, connect_timeout_seconds=5, shown_window_seconds=60, shown_limit=3
    )
    store = await open_store(redis_server.url, settings)
    assert await store.record_shown("u", ["long ago"], shown_at_ms=1000)
    assert (await store.fetch(None, "u", want_shown=True)).shown == ()
    later = 2**41
    for n in range(5):
        assert await store.record_shown("u", [f"query {n}"], shown_at_ms=later + n)
    assert await store.record_shown("u", ["query 3"], shown_at_ms=later + 9)
    shown = (await store.fetch(None, "u", want_shown=True)).shown
    assert shown == (("query 3", later + 9), ("query 4", later + 4), ("query 2", later + 2))
    with redis_server.client() as client:
        assert client.zcard(shown_key("u")) == 3
        assert 0 < client.ttl(shown_key("u")) <= 60
    await store.close()


async def test_one_corrupt_field_costs_that_field_only(redis_server: RedisServer, store: Store) -> None:
    load(redis_server.url)
    with redis_server.client() as client:
        client.hset(photo_key(PHOTO["photo_id"]), "anchors", b"\xff{not json")
        client.hset(user_key(USER["user_id"]), "embeddings", b"\x01\x09")
    found = await store.fetch(PHOTO["photo_id"], USER["user_id"])
    assert found.photo is not None
    assert found.user is not None
    assert (found.photo.anchors, found.photo.histories) == ((), ("675nk price",))
    assert (found.user.queries, found.user.embeddings) == (tuple(QUERIES), None)
    assert found.degraded == ("photo_field_unreadable", "user_unreadable")


async def test_a_key_of_the_wrong_type_costs_its_own_part_only(redis_server: RedisServer, store: Store) -> None:
    load(redis_server.url)
    with redis_server.client() as client:
        client.set(user_key("odd"), "a string")
        client.set(shown_key("odd"), "a string")
    for _ in range(2 * PATIENT.circuit.minimum_calls):  # bad data is no outage, and must not open the circuit
        found = await store.fetch(PHOTO["photo_id"], "odd", want_shown=True)
        assert found.photo is not None
        assert found.degraded == ("user_unreadable", "shown_unreadable")


async def test_embeddings_of_another_version_are_withheld_and_counted(redis_server: RedisServer, store: Store) -> None:
    load(redis_server.url)
    other = encode_vectors(embed(QUERIES), "another-model-7")
    with redis_server.client() as client:
        client.hset(user_key(USER["user_id"]), "embeddings", other)
        client.hset(photo_key(PHOTO["photo_id"]), "embedding", encode_vectors(embed(["x"]), "another-model-7"))
    found = await store.fetch(PHOTO["photo_id"], USER["user_id"])
    assert found.photo is not None
    assert found.user is not None
    assert (found.photo.embedding, found.photo.embedding_version) == (None, "another-model-7")
    assert (found.user.embeddings, found.user.queries) == (None, tuple(QUERIES))
    assert found.degraded == ("photo_embedding_version", "user_embedding_version")


async def test_a_hash_written_by_hand_as_the_format_says_is_read(redis_server: RedisServer, store: Store) -> None:
    """What another team would write from FORMAT.md, without this package."""
    with redis_server.client() as client:
        fields = {"text": '{"caption": "hi"}', "text_at": "1700000000000", "anchors": '["a"]', "extra": "ignored"}
        client.hset("onebar:1:photo:100%25 %7Bnew%7D", mapping=fields)
    photo = (await store.fetch("100% {new}")).photo
    assert photo is not None
    assert (photo.raw.caption, photo.anchors, photo.histories) == ("hi", ("a",), ())
    assert dict(photo.updated_at) == {"text": 1_700_000_000_000}


async def test_a_command_that_is_not_permitted_costs_its_own_part_and_is_said_once(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    load(redis_server.url)
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~onebar:*", "+hmget", "+ping")
    store = await open_store(redis_server.url.replace("redis://", "redis://reader:pw@"), PATIENT)
    for _ in range(2 * PATIENT.circuit.minimum_calls):
        found = await store.fetch(PHOTO["photo_id"], "u", want_shown=True)
        assert found.photo is not None
        assert found.degraded == ("feature_store_down",)
        assert not await store.record_shown("u", ["q"])
    assert [record.getMessage().count("does not permit a command") for record in caplog.records] == [1]
    await store.close()


async def test_the_permissions_that_the_format_lists_are_enough(redis_server: RedisServer) -> None:
    serving = "+hmget +zrevrangebyscore +zadd +zremrangebyscore +zremrangebyrank +expire +ping"
    loading = "+hset +expire +persist +ping"
    with redis_server.client() as client:
        for name, commands in {"server": serving, "loader": loading}.items():
            client.execute_command("ACL", "SETUSER", name, "on", ">pw", "~onebar:1:*", *commands.split())
    load(redis_server.url.replace("redis://", "redis://loader:pw@"))
    load(redis_server.url.replace("redis://", "redis://loader:pw@"), ttl_seconds=0)
    store = await open_store(redis_server.url.replace("redis://", "redis://server:pw@"), PATIENT)
    assert await store.record_shown("u", ["q"])
    found = await store.fetch(PHOTO["photo_id"], "u", want_shown=True)
    assert found.photo is not None
    assert (len(found.shown), found.degraded) == (1, ())
    assert await store.ping() > 0
    await store.close()


async def test_a_unix_socket_serves_as_well(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("s")
    server = RedisServer(folder, "--unixsocket", str(folder / "redis.sock"))
    server.start()
    try:
        url = f"unix://{folder}/redis.sock"
        load(url)
        store = await open_store(url, PATIENT)
        assert (await store.fetch(PHOTO["photo_id"])).photo is not None
        await store.close()
    finally:
        server.kill()


def test_a_writer_that_loses_its_server_says_so(redis_server: RedisServer) -> None:
    writer = open_writer(redis_server.url, 10)
    redis_server.kill()
    with pytest.raises(StoreUnavailable, match="start it, or correct the URL") as caught:
        writer.write([photo_write(PHOTO, RowOptions(0))])
    assert isinstance(caught.value.__cause__, RedisError)
    writer.close()
    with pytest.raises(StoreUnavailable):
        open_writer(redis_server.url)
