"""The embedded store answers as Redis does: fields apart, lives that run out, lately shown queries."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from feature_store import InvalidIdError, Store, StoreSettings, StoreUnavailable, StoreUrlError, open_store
from feature_store.embedded import EmbeddedStore, open_embedded
from feature_store.keys import photo_key, user_key
from feature_store.publish import open_writer
from feature_store.writes import HashWrite

PHOTO = HashWrite(photo_key("p"), {"summary": b"s", "summary_at": b"1"})
ANCHORS = HashWrite(photo_key("p"), {"anchors": b'["a"]', "anchors_at": b"2"})
USER = HashWrite(user_key("u"), {"queries": b'["q"]', "embeddings": b"", "updated_at": b"3"})


def write(url: str, *writes: HashWrite, ttl_seconds: int = 60) -> None:
    writer = open_writer(url, ttl_seconds)
    writer.write(writes)
    writer.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/folder/evidence.db"


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Store]:
    if request.param == "sqlite":
        write(url, PHOTO, USER)
        opened: Store = await open_store(url)
    else:
        opened = await open_store("memory://")
        assert isinstance(opened, EmbeddedStore)
        opened.writer().write([PHOTO, USER])
    yield opened
    await opened.close()


async def test_it_finds_a_photo_and_a_user(store: Store) -> None:
    found = await store.fetch("p", "u")
    assert found.photo is not None
    assert found.user is not None
    assert (found.photo.summary, found.user.queries, found.shown, found.degraded) == ("s", ("q",), (), ())


async def test_what_is_not_stored_is_none(store: Store) -> None:
    found = await store.fetch("other", "nobody", want_shown=True)
    assert (found.photo, found.user, found.shown, found.degraded) == (None, None, (), ())


async def test_either_part_can_be_asked_for_alone(store: Store) -> None:
    assert (await store.fetch("p")).user is None
    assert (await store.fetch(None, "u")).photo is None


async def test_fields_are_refreshed_apart(url: str) -> None:
    write(url, PHOTO)
    write(url, ANCHORS)
    store = await open_store(url)
    photo = (await store.fetch("p")).photo
    assert photo is not None
    assert (photo.summary, photo.anchors, dict(photo.updated_at)) == ("s", ("a",), {"summary": 1, "anchors": 2})
    await store.close()


async def test_a_life_runs_out_as_a_whole_and_is_renewed_by_any_write(url: str) -> None:
    write(url, PHOTO)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE expiries SET at_ms = 1")
        connection.commit()
    store = await open_store(url)
    assert (await store.fetch("p")).photo is None
    write(url, ANCHORS)
    photo = (await store.fetch("p")).photo
    assert photo is not None
    assert (photo.summary, photo.anchors) == ("", ("a",)), "what had run out does not come back"
    write(url, PHOTO, ttl_seconds=0)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("SELECT count(*) FROM expiries").fetchone() == (0,)
    await store.close()


async def test_shown_queries_come_newest_first_within_the_window(store: Store) -> None:
    assert await store.record_shown("u", ["first", "second"], shown_at_ms=2**41)
    assert await store.record_shown("u", ["first"], shown_at_ms=2**41 + 5)
    assert await store.record_shown("u", ["long ago"], shown_at_ms=5)
    assert (await store.fetch(None, "u", want_shown=True)).shown == (("first", 2**41 + 5), ("second", 2**41))
    assert (await store.fetch(None, "u")).shown == ()


async def test_a_shown_query_that_is_no_unicode_does_no_harm(store: Store) -> None:
    assert await store.record_shown("u", ["a\ud800"])
    assert [query for query, _ in (await store.fetch(None, "u", want_shown=True)).shown] == ["a?"]


async def test_ids_are_checked(store: Store) -> None:
    with pytest.raises(InvalidIdError):
        await store.fetch("")
    with pytest.raises(InvalidIdError):
        await store.record_shown("x" * 129, ["q"])


async def test_ping_takes_some_time(store: Store) -> None:
    assert 0 < await store.ping() < 60


async def test_a_file_that_is_locked_or_broken_degrades(url: str) -> None:
    write(url, PHOTO)
    path = Path(url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        store = open_embedded(url, StoreSettings(timeout_seconds=0.001))
        other.execute("BEGIN EXCLUSIVE")
        assert (await store.fetch("p")).degraded == ("feature_store_timeout",)
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.ping()
    path.write_bytes(os.urandom(8192))
    assert (await store.fetch("p")).degraded == ("feature_store_down",)
    await store.close()


async def test_urls_that_cannot_be_opened_say_why(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("x" * 5000)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (x)")
    for url, reason in {
        f"sqlite:///{tmp_path}/none.db": "make it with `onebar evidence load",
        f"sqlite:///{text}": "is no SQLite file",
        f"sqlite:///{other}": "is not a store of evidence",
        "sqlite://": "names no file",
        "memory:///evidence.db": "memory:// has none",
        "mongodb://x": "mongodb:// is not known",
        "evidence.db": "no scheme is not known",
    }.items():
        with pytest.raises(StoreUrlError, match=reason):
            await open_store(url)
    for path in (text, other):
        with pytest.raises(StoreUrlError):
            open_writer(f"sqlite:///{path}")
    with pytest.raises(StoreUrlError, match="cannot be made"):
        open_writer(f"sqlite:///{text}/evidence.db")


def rows(url: str, table: str) -> int:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def test_what_has_expired_is_deleted_from_the_file(url: str) -> None:
    write(url, USER, PHOTO)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE expiries SET at_ms = 1 WHERE key = ?", (user_key("u"),))
    write(url)
    assert (rows(url, "hashes"), rows(url, "expiries")) == (len(PHOTO.fields), 1)


async def test_expired_shown_queries_of_all_users_are_deleted(url: str) -> None:
    write(url, USER)
    store = await open_store(url)
    assert await store.record_shown("gone", ["q"], shown_at_ms=1)
    assert await store.record_shown("u", ["q"])
    assert rows(url, "shown") == 1
    await store.close()
