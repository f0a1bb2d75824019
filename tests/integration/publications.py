"""A store to publish to, for tests: its records as they are, publications of rows, and processes that are killed.

The fixtures at the end are for the tests of publications, which import them.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster

from feature_store.keys import MARK_FIELD, PUBLICATION_KEY
from feature_store.loader import open_sources
from feature_store.publish.journal import Journal
from feature_store.publish.opening import content_of, journal_for, open_target
from feature_store.publish.preview import preview
from feature_store.publish.publication import PublishSettings, publish
from feature_store.publish.report import PublishReport
from feature_store.publish.restoration import RestoreReport, restore
from feature_store.publish.target import Target
from feature_store.rows import RowOptions
from tests.integration.redis_servers import RedisClusterOfThree, RedisServer

Rows = list[dict[str, Any]]
Wrap = Callable[[Target], Target]
DAY = 86_400
COUNT = 120
BATCH, CHUNK = 50, 20


class Shop:
    """A store and the files that are published to it.

    Attributes:
        url: of the store.
        folder: where the files and the journal are.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def write(self, rows: Rows, name: str = "evidence.jsonl") -> Path:
        """Write a file of rows, instead of the one of that name."""
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def target(self) -> Target:
        return open_target(self.url, DAY)

    def journal(self, target: Target) -> Journal:
        return Journal(journal_for(self.folder, self.url, target.state())[0])

    def publish(self, rows: Rows | None = None, *, wrap: Wrap | None = None, **settings: Any) -> PublishReport:
        """Publish the folder, after its videos have become `rows`, through a target that `wrap` has changed."""
        if rows is not None:
            self.write(rows)
        sources = open_sources(self.folder)
        with closing(self.target()) as target, self.journal(target) as journal:
            return publish(
                sources,
                wrap(target) if wrap else target,
                journal,
                RowOptions(0),
                content_of(sources),
                settings=PublishSettings(**{"max_removed": 1.0, **settings}),
            )

    def preview(self, rows: Rows) -> PublishReport:
        self.write(rows)
        with closing(self.target()) as target:
            return preview(open_sources(self.folder), target, RowOptions(0))

    def restore(self, *, wrap: Wrap | None = None) -> RestoreReport:
        with closing(self.target()) as target, self.journal(target) as journal:
            return restore(wrap(target) if wrap else target, journal)

    def records(self, *, with_marks: bool = False) -> dict[str, dict[str, bytes]]:
        """Return all records of videos and users, byte for byte."""
        hashes = _of_file(self.url) if self.url.startswith("sqlite:") else _of_redis(self.url)
        hashes.pop(PUBLICATION_KEY, None)
        if not with_marks:
            for fields in hashes.values():
                fields.pop(MARK_FIELD, None)
        return hashes

    def delete(self, key: str) -> None:
        """Lose a record, as an eviction does."""
        if self.url.startswith("sqlite:"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as file, file:
                file.execute("DELETE FROM hashes WHERE key = ?", (key,))
        else:
            with closing(client_of(self.url)) as client:
                client.delete(key)


def client_of(url: str) -> Any:
    if "+cluster" in url:
        return RedisCluster.from_url(url.replace("+cluster", ""))
    return redis.Redis.from_url(url)


def _of_redis(url: str) -> dict[str, dict[str, bytes]]:
    with closing(client_of(url)) as client:
        keys = sorted(client.scan_iter("onebar:1:*", count=1000))
        pipeline = client.pipeline()
        for key in keys:
            pipeline.hgetall(key)
        hashes = pipeline.execute()
    return {
        key.decode(): {name.decode(): value for name, value in fields.items()}
        for key, fields in zip(keys, hashes, strict=True)
    }


def _of_file(url: str) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
        for key, name, value in file.execute("SELECT key, field, value FROM hashes ORDER BY key"):
            found.setdefault(key, {})[name] = value
    return found


class Counted:
    """A target that counts its calls and can kill its process at one of them.

    Attributes:
        calls: so far.
    """

    def __init__(self, target: Target, kill_at: int | None = None) -> None:
        self._target = target
        self._kill_at = kill_at
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self._kill_at:
                self._half_done(name, arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return found(*arguments, **options)

        return call

    def _half_done(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Do half of what writes records, as a process does that is killed while it sends."""
        if name in ("confirm", "apply", "remove") and len(arguments[0]) > 1:
            getattr(self._target, name)(arguments[0][: len(arguments[0]) // 2])


def count_calls(run: Callable[[Wrap], object]) -> int:
    """Return how many calls of the target a run makes."""
    counted: list[Counted] = []

    def wrap(target: Target) -> Any:
        counted.append(Counted(target))
        return counted[0]

    run(wrap)
    return counted[0].calls


def run_and_kill(run: Callable[[Wrap], object], at: int) -> None:
    """Run in a process of its own, which gets SIGKILL at a call of its target."""
    child = os.fork()
    if child == 0:
        try:
            run(lambda target: Counted(target, kill_at=at))  # type: ignore[arg-type, return-value]
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several batches of rows, each of several chunks, without thousands of rows."""
    monkeypatch.setattr("feature_store.files._BATCH_ROWS", BATCH)
    monkeypatch.setattr("feature_store.publish.pace.CHUNK_ROWS", CHUNK)


def video(number: int, **changes: object) -> dict[str, Any]:
    row = {"photo_id": f"p{number}", "caption": f"caption {number}", "anchors": ["a", str(number)], "updated_at": 1000}
    return row | changes


def first_day() -> Rows:
    return [video(number) for number in range(COUNT)]


def second_day() -> Rows:
    """A day later 11 captions have changed, ten videos are gone, and ten are new."""
    rows = [video(number, updated_at=2000) for number in range(10, COUNT + 10)]
    for row in rows[:-10:10]:
        row["caption"] += " again"
    return rows


@pytest.fixture
def single(redis_server: RedisServer, tmp_path: Path) -> Shop:
    return Shop(redis_server.url, folder_in(tmp_path))


@pytest.fixture
def cluster(redis_cluster: RedisClusterOfThree, tmp_path: Path) -> Shop:
    for server in redis_cluster.servers:
        with server.client() as client:
            client.flushall()
    return Shop(redis_cluster.url, folder_in(tmp_path))


@pytest.fixture
def file(tmp_path: Path) -> Shop:
    return Shop(f"sqlite:///{tmp_path}/evidence.db", folder_in(tmp_path))


@pytest.fixture(params=["single", "cluster", "file"])
def shop(request: pytest.FixtureRequest) -> Shop:
    found: Shop = request.getfixturevalue(request.param)
    return found


only_redis = pytest.mark.parametrize("shop", ["single", "cluster"], indirect=True)
without_cluster = pytest.mark.parametrize("shop", ["single", "file"], indirect=True)


def folder_in(path: Path) -> Path:
    folder = path / "out"
    folder.mkdir()
    return folder
