"""A Redis Cluster whose masters have replicas, plain and over TLS: a replica takes over, and the store follows it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from feature_store import Store, open_store
from feature_store.keys import photo_key, user_key
from feature_store.publish import open_writer
from feature_store.rows import RowOptions, photo_write, user_write
from service.settings import MAX_DEADLINE_MS
from tests.fixtures.serving import bundle_path, running, scripted_app, settings_for, spoken
from tests.integration.redis_servers import IMPATIENT, RedisClusterOfThree, RedisServer

__all__ = ["bundle_path"]

SETTINGS = replace(IMPATIENT, circuit=replace(IMPATIENT.circuit, probe_interval_max_seconds=0.05))
PHOTOS = [f"p{n}" for n in range(30)]
OUTAGE = {"feature_store_down", "feature_store_timeout"}


def load(cluster: RedisClusterOfThree) -> None:
    """Write the photos and one user, and wait until the replicas have them."""
    writer = open_writer(cluster.url)
    writer.write([photo_write({"photo_id": photo, "summary": f"about {photo}"}, RowOptions(0)) for photo in PHOTOS])
    writer.write([user_write({"user_id": "u", "queries": ["camera"]}, RowOptions(0))])
    writer.close()
    until = time.monotonic() + 30
    while not all(replica_is_in_step(server) for server in cluster.servers):
        assert time.monotonic() < until, "the replicas lag behind"
        time.sleep(0.02)


def replica_is_in_step(server: RedisServer) -> bool:
    """Whether a node is a replica, or a master whose replica has everything that it has."""
    with server.client() as client:
        state = client.info("replication")
    replica = state.get("slave0", {})
    return state["role"] != "master" or (
        replica.get("state") == "online" and replica.get("offset") == state["master_repl_offset"]
    )


def apart_from_user(cluster: RedisClusterOfThree) -> tuple[RedisServer, str]:
    """The user's master, and a photo on another one."""
    master = cluster.server_of(user_key("u"))
    return master, next(photo for photo in PHOTOS if cluster.server_of(photo_key(photo)) is not master)


async def until_whole(store: Store, photo: str) -> set[str]:
    """Ask until nothing is missing; return what was missing until then."""
    reasons: set[str] = set()
    async with asyncio.timeout(30):
        while True:
            found = await store.fetch(photo, "u", want_shown=True)
            if not found.degraded and found.user is not None:
                assert found.user.queries == ("camera",), "the replica had it"
                return reasons
            assert found.photo is not None, "the other masters answer all the while"
            reasons |= set(found.degraded)
            await asyncio.sleep(0.01)


async def test_a_replica_takes_over_from_a_master_that_is_killed(cluster_with_replicas: RedisClusterOfThree) -> None:
    load(cluster_with_replicas)
    master, photo = apart_from_user(cluster_with_replicas)
    replica = cluster_with_replicas.replica_of(master)
    store = await open_store(cluster_with_replicas.url, SETTINGS)
    assert await until_whole(store, photo) == set()
    await asyncio.to_thread(master.kill)
    found = await store.fetch(photo, "u", want_shown=True)
    assert found.user is None
    assert found.degraded
    reasons = await until_whole(store, photo)
    assert reasons <= OUTAGE
    assert await store.record_shown("u", ["camera lens"]), "it can be written to, too"
    with replica.client() as client:
        assert client.info("replication")["role"] == "master"
    master.start()  # comes back as a replica of the one that took over
    for _ in range(20):
        assert await until_whole(store, photo) == set()
    assert await store.ping() > 0
    await store.close()


async def test_a_master_that_hands_over_is_followed(cluster_with_replicas: RedisClusterOfThree) -> None:
    load(cluster_with_replicas)
    master, photo = apart_from_user(cluster_with_replicas)
    replica = cluster_with_replicas.replica_of(master)
    store = await open_store(cluster_with_replicas.url, SETTINGS)
    with replica.client() as client, master.client() as old:
        client.execute_command("CLUSTER", "FAILOVER")
        async with asyncio.timeout(20):
            while old.info("replication")["role"] != "slave":
                assert await until_whole(store, photo) <= OUTAGE
    for _ in range(20):
        assert await until_whole(store, photo) == set()
    await store.close()


async def test_the_service_stays_ready_while_a_replica_takes_over(
    cluster_with_replicas: RedisClusterOfThree, bundle_path
) -> None:
    load(cluster_with_replicas)
    master, photo = apart_from_user(cluster_with_replicas)
    settings = settings_for(bundle_path, store={"url": cluster_with_replicas.url, "timeout_ms": 400, "share": 1})
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    request = {"photo_id": photo, "user_id": "u", "deadline_ms": MAX_DEADLINE_MS, "explain": True}
    async with running(app) as client:

        async def ask() -> dict:
            response = await client.post("/recommend", json=request)
            assert response.status_code == 200
            assert (await client.get("/readyz")).status_code == 200
            answer = response.json()
            assert answer["explain"]["evidence"]["summary"] == f"about {photo}", "the video's own evidence is there"
            return answer

        assert (await ask())["degraded"] == []
        await asyncio.to_thread(master.kill)
        assert set((await ask())["degraded"]) <= OUTAGE
        async with asyncio.timeout(30):
            while (answer := await ask())["degraded"]:
                assert set(answer["degraded"]) <= OUTAGE
                await asyncio.sleep(0.01)
