"""`onebar privacy` and `onebar erase` on a real Redis, a cluster and a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from feature_store import Fetched, open_store
from feature_store.keys import shown_key, user_key
from feature_store.pseudonym import read_key_ring
from tests.integration.redis_servers import PATIENT, RedisClusterOfThree, RedisServer

USERS = [f"user {n}" for n in range(1200)]
"""More than two chunks."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(params=["redis", "cluster", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    if request.param == "cluster":
        cluster: RedisClusterOfThree = request.getfixturevalue("redis_cluster")
        for server in cluster.servers:
            with server.client() as client:
                client.flushall()
        return cluster.url
    return f"sqlite:///{tmp_path}/evidence.db"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "users.key"
    succeed("privacy", "new-key", path)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "users.jsonl"
    path.write_text("".join(json.dumps({"user_id": user, "queries": [f"of {user}"]}) + "\n" for user in USERS))
    return path


def ask(url: str, *names: str) -> list[Fetched]:
    async def found() -> list[Fetched]:
        store = await open_store(url, PATIENT)
        try:
            return [await store.fetch(None, name, want_shown=True) for name in names]
        finally:
            await store.close()

    return asyncio.run(found())


def show(url: str, *names: str) -> None:
    async def recorded() -> None:
        store = await open_store(url, PATIENT)
        for name in names:
            assert await store.record_shown(name, ["shown"])
        await store.close()

    asyncio.run(recorded())


def test_loading_users_without_a_key_file_is_refused_with_the_correction(url: str, table: Path) -> None:
    result = run("evidence", "load", table, "--store", url)
    assert result.exit_code == 1
    assert "onebar privacy new-key FILE" in result.output
    assert "1,200 of 1,200 users written" in succeed("evidence", "load", table, "--store", url, "--raw-user-ids")
    (raw,) = ask(url, USERS[0])
    assert raw.user is not None


def test_users_always_expire(url: str, table: Path, key: Path) -> None:
    result = run("evidence", "load", table, "--store", url, "--user-key", key, "--ttl-days", 0)
    assert result.exit_code == 2
    assert "users must expire" in result.output


def test_the_store_has_no_raw_id(redis_server: RedisServer, table: Path, key: Path) -> None:
    succeed("evidence", "load", table, "--store", redis_server.url, "--user-key", key)
    ring = read_key_ring(key)
    with redis_server.client() as client:
        keys = {name.decode() for name in client.scan_iter()}
    assert keys == {user_key(ring.pseudonym(user)) for user in USERS}
    shown = json.loads(succeed("evidence", "show", "--user", USERS[1], "--store", redis_server.url, "--user-key", key))
    assert shown["user"]["queries"] == [f"of {USERS[1]}"]


def test_a_table_of_pseudonyms_is_loaded_under_the_newest_key(url: str, tmp_path: Path, key: Path) -> None:
    """Tables made from events have pseudonyms, which may be older than the newest key."""
    old = read_key_ring(key).pseudonym("u1")
    succeed("privacy", "rotate-key", key)
    table = tmp_path / "from_events.jsonl"
    stranger = f"{'a' * 8}.{'b' * 26}"
    rows = [{"user_id": old, "queries": ["q"]}, {"user_id": stranger, "queries": ["q"]}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = succeed("evidence", "load", table, "--store", url, "--user-key", key)
    assert "1 of 2 users written" in output
    assert "a pseudonym of a key that is not in the key file" in output
    (found,) = ask(url, read_key_ring(key).pseudonym("u1"))
    assert found.user is not None


@pytest.mark.parametrize("begin", ["raw ids", "an older key"])
def test_rotation_of_keys_loses_no_user(url: str, table: Path, key: Path, begin: str) -> None:
    old = USERS if begin == "raw ids" else [read_key_ring(key).pseudonym(user) for user in USERS]
    option = ["--raw-user-ids"] if begin == "raw ids" else ["--user-key", key]
    succeed("evidence", "load", table, "--store", url, *option)
    show(url, *old[:3])
    if begin == "an older key":
        succeed("privacy", "rotate-key", key)
    new = [read_key_ring(key).pseudonym(user) for user in USERS]

    assert "1,203 records copied\n" in succeed("privacy", "rekey", "--store", url, "--user-key", key)
    for names in (old, new):  # a service with the old keys and one with the new both find them
        for user, found in zip(USERS, ask(url, *names), strict=True):
            assert found.user is not None
            assert found.user.queries == (f"of {user}",)
            assert bool(found.shown) == (user in USERS[:3])
    show(url, old[5])  # by a service that has the old keys still
    dropped = succeed("privacy", "rekey", "--store", url, "--user-key", key, "--drop-old")
    assert "1,204 records moved\n" in dropped
    assert all(found.user is None and not found.shown for found in ask(url, *old))
    assert ask(url, new[5])[0].shown
    assert "0 records copied\n" in succeed("privacy", "rekey", "--store", url, "--user-key", key)


def test_a_copy_expires_no_later_than_its_original(redis_server: RedisServer, table: Path, key: Path) -> None:
    succeed("evidence", "load", table, "--store", redis_server.url, "--user-key", key, "--ttl-days", 2)
    old = read_key_ring(key).pseudonym(USERS[0])
    show(redis_server.url, old)
    succeed("privacy", "rotate-key", key)
    succeed("privacy", "rekey", "--store", redis_server.url, "--user-key", key)
    new = read_key_ring(key).pseudonym(USERS[0])
    with redis_server.client() as client:
        assert 0 < client.ttl(user_key(new)) <= 2 * 86_400
        assert 0 < client.ttl(shown_key(new)) <= PATIENT.shown_window_seconds


def test_records_of_a_lost_key_are_kept_and_counted(url: str, table: Path, key: Path, tmp_path: Path) -> None:
    succeed("evidence", "load", table, "--store", url, "--user-key", key)
    succeed("privacy", "new-key", tmp_path / "other.key")
    said = succeed("privacy", "rekey", "--store", url, "--user-key", tmp_path / "other.key", "--drop-old")
    assert "0 records moved" in said
    assert "1,200 have a key that is not in" in said
    assert ask(url, read_key_ring(key).pseudonym(USERS[0]))[0].user is not None


def test_erase_removes_only_the_records_of_one_user(url: str, table: Path, key: Path, tmp_path: Path) -> None:
    first = read_key_ring(key)
    succeed("evidence", "load", table, "--store", url, "--user-key", key)
    show(url, first.pseudonym(USERS[0]), first.pseudonym(USERS[1]))
    succeed("privacy", "rotate-key", key)
    ring = read_key_ring(key)
    names = [first.pseudonym(USERS[0]), ring.pseudonym(USERS[0]), USERS[0], ring.pseudonym(USERS[1])]
    spool, log = tmp_path / "spool", tmp_path / "events.jsonl"
    spool.mkdir()
    for path in (spool / "1.jsonl", log):
        path.write_text("".join(json.dumps({"user_id": name}) + "\n" for name in names))

    arguments = ["erase", USERS[0], "--store", url, "--user-key", key, "--spool", spool, "--events", log]
    said = succeed(*arguments)
    assert "store: 1 histories and 1 shown lists removed" in said
    assert f"{log}: 3 events removed" in said
    assert f"{spool}: 3 events removed" in said
    assert log.read_text().split("\n")[-2:] == [json.dumps({"user_id": names[3]}), ""]
    gone, stays = ask(url, names[0], first.pseudonym(USERS[1]))
    assert (gone.user, gone.shown) == (None, ())
    assert stays.user is not None
    assert stays.shown
    again = succeed(*arguments)
    assert "store: 0 histories and 0 shown lists removed" in again
    assert again.count(": 0 events removed") == 2


def test_erase_accepts_a_pseudonym_from_an_event(url: str, table: Path, key: Path) -> None:
    succeed("evidence", "load", table, "--store", url, "--user-key", key)
    name = read_key_ring(key).pseudonym(USERS[0])
    assert "1 histories" in succeed("erase", name, "--store", url, "--user-key", key)


def test_erase_searches_the_stream_of_events(redis_server: RedisServer, key: Path) -> None:
    name = read_key_ring(key).pseudonym("u1")
    with redis_server.client() as client:
        for n in range(1100):
            client.xadd("events", {"event": json.dumps({"n": n, "user_id": name if n % 100 == 0 else "other"})})
        client.xadd("events", {"another field": "x"})
        arguments = ["erase", "u1", "--store", redis_server.url, "--user-key", key]
        said = succeed(*arguments, "--stream", "events", "--stream-url", redis_server.url)
        assert "stream events: 11 events removed" in said
        assert client.xlen("events") == 1090


def test_pseudonym_prints_those_of_all_keys(key: Path) -> None:
    succeed("privacy", "rotate-key", key)
    ring = read_key_ring(key)
    assert succeed("privacy", "pseudonym", "u1", "--user-key", key).split() == ring.from_here("u1")


@pytest.mark.parametrize("command", ["rekey", "erase"])
def test_a_store_that_cannot_be_used_is_reported_in_one_sentence(
    command: str, key: Path, stopped_redis_server: RedisServer
) -> None:
    name = ["erase", "u1"] if command == "erase" else ["privacy", "rekey"]
    for url, sentence in {stopped_redis_server.url: "start it, or correct the URL", "memory://": "is gone"}.items():
        result = run(*name, "--store", url, "--user-key", key)
        assert result.exit_code == 1
        assert sentence in result.output
        assert "Traceback" not in result.output


@pytest.mark.parametrize("command", [("erase", "u1"), ("privacy", "rekey")])
def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, key: Path, command: tuple[str, ...]) -> None:
    refused = run(*command, "--store", f"sqlite:///{tmp_path}/typo.db", "--user-key", key)
    assert (refused.exit_code, refused.stderr) == (1, f"Error: {tmp_path}/typo.db is not there; correct the URL\n")
    assert not (tmp_path / "typo.db").exists()
