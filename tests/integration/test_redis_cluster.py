"""A real Redis Cluster: keys on three masters, one of them lost or frozen, slots that move."""

from __future__ import annotations

import asyncio

import pytest
import redis

from feature_store import Store, StoreSettings, StoreUnavailable, open_store
from feature_store.keys import photo_key, user_key
from feature_store.publish import open_writer
from feature_store.rows import RowOptions, photo_write, user_write
from feature_store.writes import HashWrite
from tests.integration.redis_servers import IMPATIENT, RedisClusterOfThree, RedisServer

PATIENT = StoreSettings(timeout_seconds=5, socket_timeout_seconds=5, connect_timeout_seconds=5)
PHOTOS = [f"p{n}" for n in range(30)]
USERS = [f"u{n}" for n in range(30)]


def load(url: str) -> None:
    writer = open_writer(url)
    options = RowOptions(0)
    writer.write([photo_write({"photo_id": photo, "summary": photo}, options) for photo in PHOTOS])
    writer.write([user_write({"user_id": user, "queries": [user]}, options) for user in USERS])
    writer.close()


def apart(cluster: RedisClusterOfThree) -> tuple[str, str]:
    """A photo and a user on two masters, the user's being none that the URL names."""
    for user in USERS:
        if cluster.server_of(user_key(user)) is not cluster.servers[0]:
            break
    for photo in PHOTOS:
        if cluster.server_of(photo_key(photo)) is not cluster.server_of(user_key(user)):
            return photo, user
    raise AssertionError("all keys are on one master")


@pytest.fixture(params=["redis_cluster", "secure_redis_cluster"], ids=["plain", "TLS"])
def any_cluster(request: pytest.FixtureRequest) -> RedisClusterOfThree:
    cluster: RedisClusterOfThree = request.getfixturevalue(request.param)
    return cluster


async def is_whole(store: Store, photo: str, user: str) -> bool:
    found = await store.fetch(photo, user, want_shown=True)
    return found.photo is not None and found.user is not None and found.degraded == ()


async def eventually_whole(store: Store, photo: str, user: str) -> None:
    async with asyncio.timeout(30):
        while not await is_whole(store, photo, user):
            await asyncio.sleep(0.01)


async def test_keys_of_one_request_may_lie_on_several_masters(any_cluster: RedisClusterOfThree) -> None:
    load(any_cluster.url)
    store = await open_store(any_cluster.url, PATIENT)
    assert len({any_cluster.server_of(photo_key(photo)).port for photo in PHOTOS}) == 3
    for photo, user in zip(PHOTOS, USERS, strict=True):
        assert await store.record_shown(user, [f"shown to {user}"])
        found = await store.fetch(photo, user, want_shown=True)
        assert found.photo is not None
        assert found.user is not None
        assert (found.photo.summary, found.user.queries, found.degraded) == (photo, (user,), ())
        assert [query for query, _ in found.shown] == [f"shown to {user}"]
    assert await store.ping() > 0
    await store.close()


@pytest.mark.parametrize("freeze", [False, True], ids=["killed", "frozen"])
async def test_a_lost_master_costs_its_own_keys_only(any_cluster: RedisClusterOfThree, freeze: bool) -> None:
    load(any_cluster.url)
    photo, user = apart(any_cluster)
    victim = any_cluster.server_of(user_key(user))
    store = await open_store(any_cluster.url, IMPATIENT)
    assert await is_whole(store, photo, user)
    if freeze:
        victim.pause()
    else:
        victim.kill()
    try:
        reasons = set()
        for _ in range(IMPATIENT.circuit.window_calls + 3):
            found = await store.fetch(photo, user)
            assert found.photo is not None, "the other master still answers"
            assert found.user is None
            reasons |= set(found.degraded)
        assert reasons <= {"feature_store_down", "feature_store_timeout"}
        assert found.degraded == ("feature_store_down",), "after some failures it is not asked any more"
    finally:
        if freeze:
            victim.resume()
        else:
            victim.start()  # it knows its slots from its file of nodes; its data is gone
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(is_loaded, any_cluster):
            await asyncio.sleep(0.05)
    await eventually_whole(store, photo, user)
    await store.close()


def is_loaded(cluster: RedisClusterOfThree) -> bool:
    """Write everything again; False while the cluster does not take it."""
    try:
        load(cluster.url)
    except StoreUnavailable:
        return False
    return True


async def test_a_slot_that_moves_is_followed(any_cluster: RedisClusterOfThree) -> None:
    load(any_cluster.url)
    photo, user = apart(any_cluster)
    store = await open_store(any_cluster.url, PATIENT)
    assert await is_whole(store, photo, user)
    source = any_cluster.server_of(photo_key(photo))
    target = next(server for server in any_cluster.servers if server is not source)
    move_slot(any_cluster, photo_key(photo), source, target)
    assert any_cluster.server_of(photo_key(photo)) is target
    for _ in range(3):
        assert await is_whole(store, photo, user)
    await store.close()


async def test_a_writer_follows_a_slot_that_moves(redis_cluster: RedisClusterOfThree) -> None:
    key = photo_key("moved")
    writes = [photo_write({"photo_id": photo, "summary": photo}, RowOptions(0)) for photo in ("moved", *PHOTOS)]
    writer = open_writer(redis_cluster.url)
    writer.write(writes)
    source = redis_cluster.server_of(key)
    target = next(server for server in redis_cluster.servers if server is not source)
    move_slot(redis_cluster, key, source, target)
    for summary in (b"once", b"twice"):
        writer.write([HashWrite(key, {"summary": summary}), *writes[1:]])
        with target.client() as client:
            assert client.hget(key, "summary") == summary
    writer.close()


def move_slot(cluster: RedisClusterOfThree, key: str, source: RedisServer, target: RedisServer) -> None:
    with source.client() as from_, target.client() as to:
        slot = from_.execute_command("CLUSTER", "KEYSLOT", key)
        from_id, to_id = from_.execute_command("CLUSTER", "MYID"), to.execute_command("CLUSTER", "MYID")
        to.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", from_id)
        from_.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", to_id)
        for name in from_.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            from_.execute_command("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
        for server in (target, source, *cluster.servers):
            with server.client() as client:
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", to_id)


async def test_the_permissions_that_the_format_lists_are_enough(redis_cluster: RedisClusterOfThree) -> None:
    serving = "+hmget +zrevrangebyscore +zadd +zremrangebyscore +zremrangebyrank +expire +ping"
    routing = "+cluster|slots +cluster|shards +command +readonly +asking"
    loading = f"+hset +persist {routing}"
    for server in redis_cluster.servers:
        with server.client() as client:
            for name, commands in {"server": f"{serving} {routing}", "loader": f"{loading} +expire +ping"}.items():
                client.execute_command("ACL", "SETUSER", name, "on", ">pw", "~onebar:1:*", *commands.split())
    load(redis_cluster.url.replace("//", "//loader:pw@"))
    photo, user = apart(redis_cluster)
    store = await open_store(redis_cluster.url.replace("//", "//server:pw@"), PATIENT)
    assert await is_whole(store, photo, user)
    assert await store.record_shown(user, ["q"])
    assert await store.ping() > 0
    await store.close()


async def test_a_cluster_over_tls_whose_authority_is_not_named_is_explained(
    secure_redis_cluster: RedisClusterOfThree,
) -> None:
    url = secure_redis_cluster.url.partition("?")[0]
    store = await open_store(url, PATIENT)
    assert (await store.fetch("p", "u")).degraded == ("feature_store_down",)
    with pytest.raises(StoreUnavailable, match="name its authority in the URL"):
        await store.ping()
    await store.close()
    with pytest.raises(StoreUnavailable, match="name its authority in the URL"):
        open_writer(url)


async def test_a_cluster_that_is_down_at_start_degrades(stopped_redis_server: RedisServer) -> None:
    url = f"redis+cluster://127.0.0.1:{stopped_redis_server.port}"
    store = await open_store(url, IMPATIENT)
    assert (await store.fetch("p", "u", want_shown=True)).degraded == ("feature_store_down",)
    with pytest.raises(StoreUnavailable, match="start it, or correct the URL"):
        await store.ping()
    await store.close()


async def test_a_single_redis_is_told_from_a_cluster(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("redis://", "redis+cluster://")
    store = await open_store(url, IMPATIENT)
    with pytest.raises(StoreUnavailable, match=r"use the URL without \+cluster"):
        await store.ping()
    await store.close()
    with pytest.raises(StoreUnavailable, match=r"use the URL without \+cluster"):
        open_writer(url)


def test_the_single_url_of_a_cluster_is_explained(redis_cluster: RedisClusterOfThree) -> None:
    writer = open_writer(redis_cluster.servers[0].url)
    options = RowOptions(0)
    with pytest.raises(StoreUnavailable, match=r"is a Redis Cluster: write redis\+cluster://") as caught:
        writer.write([photo_write({"photo_id": photo, "summary": ""}, options) for photo in PHOTOS])
    assert isinstance(caught.value.__cause__, redis.RedisError)
    writer.close()
