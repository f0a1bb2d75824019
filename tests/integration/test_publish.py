"""Publications on one Redis, on a Redis Cluster of three nodes, and in a file."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from feature_store.errors import PublishError
from feature_store.keys import MARK_FIELD, photo_key, user_key
from feature_store.loader import load_path
from feature_store.publish import open_writer
from feature_store.publish.opening import open_target
from feature_store.publish.target import Target
from feature_store.writes import HashWrite
from tests.integration.publications import (
    CHUNK,
    COUNT,
    Shop,
    client_of,
    cluster,
    file,
    first_day,
    only_redis,
    second_day,
    shop,
    single,
    small_batches,
    video,
    without_cluster,
)
from tests.integration.redis_servers import RedisServer

__all__ = ["cluster", "file", "shop", "single", "small_batches"]


def test_a_first_publication_stores_what_a_load_stores(shop: Shop, tmp_path: Path) -> None:
    shop.write([{"user_id": f"u{n}", "queries": ["q", str(n)], "updated_at": 5} for n in range(20)], "users.jsonl")
    report = shop.publish(first_day())
    loaded = Shop(f"sqlite:///{tmp_path}/loaded.db", shop.folder)
    with closing(open_writer(loaded.url)) as writer:
        load_path(shop.folder, writer)
    assert shop.records() == loaded.records()
    assert report.counts == {"photos": Counter(new=COUNT), "users": Counter(new=20)}
    assert report.read_back == COUNT + 20


def test_a_second_publication_writes_the_fields_that_changed_and_keeps_the_times_of_the_others(shop: Shop) -> None:
    shop.publish(first_day())
    report = shop.publish(second_day())
    assert report.counts == {"photos": Counter(new=10, changed=11, unchanged=COUNT - 21, removed=10)}
    assert report.changed_fields == Counter(text=11)
    records = shop.records()
    assert len(records) == COUNT
    assert photo_key("p9") not in records
    changed, unchanged = records[photo_key("p110")], records[photo_key("p111")]
    assert b"caption 110 again" in changed["text"]
    assert (changed["text_at"], changed["anchors_at"]) == (b"2000", b"1000")
    assert (unchanged["text_at"], unchanged["anchors_at"]) == (b"1000", b"1000")
    assert report.bytes_written < 5000


@without_cluster
def test_a_publication_of_the_same_rows_writes_nothing(shop: Shop) -> None:
    shop.publish(first_day())
    before = shop.records()
    report = shop.publish([row | {"updated_at": 9000} for row in first_day()])
    assert report.counts == {"photos": Counter(unchanged=COUNT)}
    assert report.bytes_written == 0
    assert shop.records() == before


def test_restoring_brings_back_every_byte_of_the_publication_before(shop: Shop) -> None:
    shop.publish(first_day())
    before = shop.records()
    shop.publish(second_day())
    report = shop.restore()
    assert shop.records() == before
    assert report.undone == Counter(new=10, changed=11, removed=10)
    with pytest.raises(PublishError, match="is not the journal of the last publication"):
        shop.restore()
    assert shop.publish(second_day()).counts["photos"]["removed"] == 10


@without_cluster
def test_a_dry_run_counts_what_the_publication_does_and_writes_nothing(shop: Shop) -> None:
    shop.publish(first_day())
    before = shop.records(with_marks=True)
    dry = shop.preview(second_day())
    assert shop.records(with_marks=True) == before
    wet = shop.publish()
    assert (dry.counts, dry.changed_fields, dry.bytes_written) == (wet.counts, wet.changed_fields, wet.bytes_written)


@without_cluster
def test_a_video_that_was_never_published_is_left_alone(shop: Shop) -> None:
    shop.publish(first_day())
    with closing(open_writer(shop.url)) as writer:
        writer.write([HashWrite(photo_key("uploaded"), {"summary": b"s", "summary_at": b"1"})])
    shop.publish(second_day())
    assert shop.records()[photo_key("uploaded")] == {"summary": b"s", "summary_at": b"1"}


@without_cluster
def test_what_another_job_wrote_into_a_published_field_is_replaced(shop: Shop) -> None:
    shop.publish(first_day())
    before = shop.records()
    with closing(open_writer(shop.url)) as writer:
        writer.write([HashWrite(photo_key("p5"), {"anchors": b'["x"]', "summary": b"s"})])
    assert shop.publish().changed_fields == Counter(anchors=1)
    assert shop.records()[photo_key("p5")] == before[photo_key("p5")] | {"summary": b"s"}


@without_cluster
def test_a_record_that_the_store_has_lost_is_written_whole(shop: Shop) -> None:
    shop.publish(first_day())
    before = shop.records()
    shop.delete(photo_key("p7"))
    assert shop.publish().counts["photos"]["new"] == 1
    assert shop.records() == before


@without_cluster
def test_a_record_that_is_lost_between_comparing_and_writing_is_written_whole(shop: Shop) -> None:
    shop.publish(first_day())

    lost = [photo_key("p110")]

    class Losing:
        def __init__(self, target: Target) -> None:
            self._target = target

        def __getattr__(self, name: str) -> Any:
            if name == "apply" and lost:
                shop.delete(lost.pop())
            return getattr(self._target, name)

    shop.publish(second_day(), wrap=Losing)  # type: ignore[arg-type]
    assert set(shop.records()[photo_key("p110")]) == {"text", "text_at", "anchors", "anchors_at"}


@without_cluster
def test_the_evidence_of_a_bad_row_stays(shop: Shop) -> None:
    shop.publish(first_day())
    before = shop.records()
    report = shop.publish([*first_day()[1:], {"photo_id": "p0", "caption": 5}])
    assert report.loaded.bad == 1
    assert report.counts == {"photos": Counter(unchanged=COUNT - 1)}
    assert shop.records() == before


@without_cluster
def test_a_publication_that_would_remove_too_many_videos_removes_none(shop: Shop) -> None:
    shop.publish(first_day())
    with pytest.raises(PublishError, match=r"100 of 120 published photos are in no file.*--max-removed 0.84"):
        shop.publish(first_day()[:20], max_removed=0.2)
    assert len(shop.records()) == COUNT
    assert shop.publish(max_removed=0.84).counts["photos"]["removed"] == 100


@without_cluster
def test_users_are_written_whole_and_never_in_the_journal(shop: Shop) -> None:
    users = [{"user_id": f"u{n}", "queries": ["secret query"], "updated_at": 1} for n in range(3)]
    shop.write(users, "users.jsonl")
    shop.publish([video(1)])
    shop.write([users[0] | {"queries": ["other"], "updated_at": 2}, users[1]], "users.jsonl")
    report = shop.publish()
    assert report.counts["users"] == Counter(changed=1, unchanged=1, removed=1)
    record = shop.records()[user_key("u0")]
    assert record == {"queries": b'["other"]', "embeddings": b"", "updated_at": b"2"}
    with closing(shop.target()) as target, shop.journal(target) as journal:
        assert len(journal) == 0
    assert all(b"secret" not in path.read_bytes() for path in shop.folder.glob("*.journal*"))


@without_cluster
def test_what_is_read_back_must_be_what_was_published(shop: Shop) -> None:
    class Corrupting:
        """Loses a record when all are written."""

        def __init__(self, target: Target) -> None:
            self._target = target

        def __getattr__(self, name: str) -> Any:
            if name == "read":
                shop.delete(photo_key("p3"))
            return getattr(self._target, name)

    with pytest.raises(PublishError, match=r"1 of 120 records .* not as expected: onebar:1:photo:p3 \(text, anch"):
        shop.publish(first_day(), wrap=Corrupting, sample=COUNT)  # type: ignore[arg-type]
    assert shop.publish(sample=COUNT).counts["photos"]["new"] == 1
    assert len(shop.records()) == COUNT


def test_a_chunk_is_bounded(file: Shop) -> None:
    sizes: list[int] = []

    class Measuring:
        def __init__(self, target: Target) -> None:
            self._target = target

        def __getattr__(self, name: str) -> Any:
            return getattr(self._target, name)

        def confirm(self, writes: list[HashWrite]) -> Any:
            sizes.append(len(writes))
            return self._target.confirm(writes)

    file.publish(first_day(), wrap=Measuring)  # type: ignore[arg-type]
    assert sum(sizes) == COUNT
    assert max(sizes) == CHUNK


def test_scripts_that_a_server_has_forgotten_are_sent_again(single: Shop) -> None:
    single.write(first_day())
    with closing(single.target()) as target, closing(client_of(single.url)) as client:
        client.script_flush()
        target.acquire("owner", "ann", "now")
        assert target.confirm([HashWrite(photo_key("p"), {"summary": b"s"})])[0].exists is False


def test_every_published_record_has_a_life_and_a_mark(single: Shop) -> None:
    single.publish(first_day())
    with closing(client_of(single.url)) as client:
        assert 0 < client.ttl(photo_key("p1")) <= 86_400
        client.persist(photo_key("p1"))
        first = client.hget(photo_key("p1"), MARK_FIELD)
        single.publish()
        assert 0 < client.ttl(photo_key("p1")) <= 86_400
        assert int(client.hget(photo_key("p1"), MARK_FIELD)) > int(first)


PUBLISHING = "+evalsha +script|load +time +hget +hset +hdel +hgetall +exists +expire +persist +unlink +scan +ping"
ROUTING = "+cluster|slots +cluster|shards +command +readonly +asking"


@only_redis
def test_the_permissions_that_the_format_lists_are_enough(shop: Shop, request: pytest.FixtureRequest) -> None:
    listed = Path("feature_store/FORMAT.md").read_text(encoding="utf-8")
    assert " ".join(PUBLISHING.split()) in " ".join(listed.split())
    servers: list[RedisServer] = (
        request.getfixturevalue("redis_cluster").servers
        if "+cluster" in shop.url
        else [request.getfixturevalue("redis_server")]
    )
    for server in servers:
        with server.client() as client:
            rules = ["on", ">pw", "~onebar:1:*", *PUBLISHING.split(), *ROUTING.split()]
            client.execute_command("ACL", "SETUSER", "publisher", "reset", *rules)
    limited = Shop(shop.url.replace("//", "//publisher:pw@"), shop.folder)
    limited.publish(first_day())
    limited.publish(second_day())
    limited.restore()


@without_cluster
def test_the_state_in_the_store_names_the_embedder(shop: Shop) -> None:
    rows = [row | {"embedding": "ADwAPA==", "embedding_version": f"m{n % 2}"} for n, row in enumerate(first_day())]
    report = shop.publish(rows)
    assert report.embedding_versions == Counter(m0=COUNT // 2, m1=COUNT // 2)
    with closing(open_target(shop.url, 0)) as target:
        assert json.loads(target.state()["embedding_versions"]) == {"m0": COUNT // 2, "m1": COUNT // 2}
