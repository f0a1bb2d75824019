"""Publications that are killed, stopped, continued or run at the same time as another one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from feature_store.errors import PublishError
from feature_store.keys import photo_key
from feature_store.publish.journal import Journal
from feature_store.publish.target import Change, Target
from feature_store.writes import HashWrite
from tests.integration.publications import (
    BATCH,
    COUNT,
    Shop,
    cluster,
    count_calls,
    file,
    first_day,
    only_redis,
    run_and_kill,
    second_day,
    shop,
    single,
    small_batches,
    video,
    without_cluster,
)

__all__ = ["cluster", "file", "shop", "single", "small_batches"]


@pytest.mark.parametrize(("shop", "kills"), [("single", 10), ("cluster", 4), ("file", 4)], indirect=["shop"])
def test_a_publication_that_is_killed_ends_like_an_undisturbed_one(shop: Shop, kills: int) -> None:
    shop.publish(first_day())
    before = shop.records()
    calls = count_calls(lambda wrap: shop.publish(second_day(), wrap=wrap))
    after = shop.records()
    chance = random.Random(9)
    for at in sorted(chance.sample(range(1, calls + 1), kills)):
        shop.restore()
        assert shop.records() == before
        run_and_kill(lambda wrap: shop.publish(second_day(), wrap=wrap), at)
        shop.publish()
        assert shop.records() == after, f"killed at call {at} of {calls}"


@without_cluster
def test_restoring_may_be_killed_and_may_follow_a_publication_that_was(shop: Shop) -> None:
    shop.publish(first_day())
    before = shop.records()
    calls = count_calls(lambda wrap: shop.publish(second_day(), wrap=wrap))
    shop.restore()
    chance = random.Random(10)
    for at in (chance.randint(calls // 2, calls), calls):
        run_and_kill(lambda wrap: shop.publish(second_day(), wrap=wrap), at)
        run_and_kill(lambda wrap: shop.restore(wrap=wrap), chance.choice((4, 5)))  # removing, writing
        shop.restore()
        assert shop.records() == before


@without_cluster
def test_a_continued_publication_does_not_compare_again_what_was_done(shop: Shop) -> None:
    class Stopping:
        def __init__(self, target: Target) -> None:
            self._target = target
            self.confirmed: list[int] = []
            self.renewals = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._target, name)

        def confirm(self, writes: list[HashWrite]) -> Any:
            self.confirmed.append(len(writes))
            return self._target.confirm(writes)

        def renew(self, state: dict[str, str]) -> None:
            self.renewals += 1
            self._target.renew(state)

        def marks(self, kind: Any) -> Iterator[Any]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.publish(first_day(), wrap=Stopping)  # type: ignore[arg-type]
    targets: list[Stopping] = []

    def wrap(target: Target) -> Any:
        targets.append(Stopping(target))
        return targets[0]

    with pytest.raises(KeyboardInterrupt):
        shop.publish(wrap=wrap)
    assert targets[0].confirmed == []
    assert targets[0].renewals == -(-COUNT // BATCH), "the lease is kept while rows are skipped"
    report = shop.publish()
    assert (report.continued_from, report.counts["photos"]["new"]) == (COUNT, COUNT)


@without_cluster
def test_other_files_after_an_unfinished_publication_can_be_undone_to_the_last_finished_one(shop: Shop) -> None:
    shop.publish(first_day())
    before = shop.records()
    calls = count_calls(lambda wrap: shop.publish(second_day(), wrap=wrap))
    shop.restore()
    run_and_kill(lambda wrap: shop.publish(second_day(), wrap=wrap), calls - 2)
    third = [video(number, updated_at=3000, category="c") for number in range(30, COUNT + 30)]
    shop.publish(third)
    assert set(shop.records()) == {photo_key(row["photo_id"]) for row in third}
    shop.restore()
    assert shop.records() == before


@without_cluster
def test_a_second_publisher_is_told_who_publishes_and_since_when(shop: Shop) -> None:
    shop.publish(first_day())
    with closing(shop.target()) as first:
        first.acquire("owner", "ann@loader-1 (process 7)", "2026-11-25T22:00:00Z")
        with pytest.raises(PublishError, match=r"ann@loader-1 \(process 7\) has been publishing .* 2026-11-25T22"):
            shop.publish(second_day())
        first.release({})
    assert shop.publish(second_day()).counts["photos"]["new"] == 10


def test_two_processes_cannot_use_one_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(PublishError, match="another process has the journal"):
        Journal(tmp_path / "j")


def test_a_publisher_that_lost_its_lease_can_write_nothing(shop: Shop) -> None:
    shop.write(first_day())
    late = shop.target()
    late.acquire("late", "bob@loader-2 (process 8)", "now")
    late.release({})
    shop.publish()
    before = shop.records(with_marks=True)
    write = HashWrite(photo_key("p1"), {"text": b"{}", "text_at": b"9"})
    for attempt in (
        lambda: late.confirm([write]),
        lambda: late.apply([Change(write.key, write.fields)]),
        lambda: late.remove([write.key]),
        lambda: late.renew({"status": "published"}),
    ):
        with pytest.raises(PublishError, match="lost its lease"):
            attempt()
    late.close()
    assert shop.records(with_marks=True) == before


@only_redis
def test_the_server_refuses_a_write_after_the_end_of_the_lease(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_store.publish.redis_target.LEASE_SECONDS", -1)
    with closing(shop.target()) as target:
        target.acquire("owner", "ann", "now")
        with pytest.raises(PublishError, match="lost its lease"):
            target.apply([Change(photo_key("fresh"), {"summary": b"s"})])
    assert shop.records() == {}
