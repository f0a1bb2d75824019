"""Changes of the rules file: what is written, what is refused, and what is recorded."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from service.answering.rules import Rules, load_rules
from service.operating import rules_edit
from service.operating.rules_edit import (
    ChangeKind,
    RulesChange,
    RulesConflict,
    RulesNotWritable,
    change_rules,
    recorded_changes,
    why_not_writable,
)

HAND_WRITTEN = """\
# Agreed with trust and safety.
blocked_queries: [free gift cards]
length: {max_words: 10}
pinned_queries:
  - {query: winter sale, categories: [boots]}
"""
HOSTILE = [
    "yes",
    "null",
    "12:30",
    "- a",
    "a: b",
    "#a",
    "*a",
    "!!python/object:os.system",
    "'",
    '"',
    "{a}",
    "\U0001f600a",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(HAND_WRITTEN)
    return file


def change(kind: ChangeKind, query: str, photo_id: str | None = None, reason: str = "a complaint") -> RulesChange:
    return RulesChange(kind, query, photo_id, reason, "reviewer")


def apply(path: Path, *changes: RulesChange) -> Rules:
    for one in changes:
        version = load_rules(path).version
        assert version is not None
        assert change_rules(path, version, one) == load_rules(path).version
    return load_rules(path)


def test_a_query_is_blocked_and_unblocked_and_other_rules_stay(path: Path) -> None:
    before = load_rules(path)
    blocked = apply(path, change("block_query", "cheap pills"))
    assert blocked.blocked_queries == ["free gift cards", "cheap pills"]
    unblocked = apply(path, change("unblock_query", "Cheap-Pills"))
    assert unblocked.model_dump() == before.model_dump()


def test_a_query_is_pinned_on_videos_and_unpinned(path: Path) -> None:
    rules = apply(path, change("pin_query", "red boots", "p1"), change("pin_query", "red boots", "p2"),
                  change("pin_query", "winter sale", "p1"))  # fmt: skip
    assert [(pin.query, pin.photo_ids, pin.categories) for pin in rules.pinned_queries] == [
        ("winter sale", ["p1"], ["boots"]), ("red boots", ["p1", "p2"], []),
    ]  # fmt: skip
    rules = apply(path, change("unpin_query", "red boots", "p1"), change("unpin_query", "red boots", "p2"))
    assert [pin.query for pin in rules.pinned_queries] == ["winter sale"]
    rules = apply(path, change("unpin_query", "winter sale", "p1"))
    assert rules.pinned_queries[0].categories == ["boots"]


@pytest.mark.parametrize("query", HOSTILE)
def test_text_that_means_something_in_yaml_is_written_as_text(path: Path, query: str) -> None:
    rules = apply(path, change("pin_query", query, "p:1"), change("block_query", query + " x"))
    assert (rules.pinned_queries[-1].query, rules.pinned_queries[-1].photo_ids) == (query, ["p:1"])
    assert rules.blocked_queries[-1] == query + " x"


def test_values_shared_by_an_alias_are_changed_one_by_one(path: Path) -> None:
    path.write_text("pinned_queries:\n- {query: a1, photo_ids: &x [p1]}\n- {query: b1, photo_ids: *x}\n")
    rules = apply(path, change("pin_query", "a1", "p2"))
    assert [pin.photo_ids for pin in rules.pinned_queries] == [["p1", "p2"], ["p1"]]


@pytest.mark.parametrize(("one", "message"), [
    (change("block_query", "Free gift-cards"), "blocked already"),
    (change("unblock_query", "never blocked"), "not blocked"),
    (change("pin_query", "free gift cards", "p1"), "is blocked"),
    (change("unpin_query", "winter sale", "p1"), "not pinned"),
])  # fmt: skip
def test_a_change_that_contradicts_the_rules_is_a_conflict(path: Path, one: RulesChange, message: str) -> None:
    version = load_rules(path).version
    assert version is not None
    with pytest.raises(RulesConflict, match=message) as caught:
        change_rules(path, version, one)
    assert caught.value.version == version
    assert path.read_text() == HAND_WRITTEN
    assert os.listdir(path.parent) == ["rules.yaml"]


def test_of_changes_to_the_same_version_one_is_made(path: Path) -> None:
    version = load_rules(path).version
    assert version is not None

    def attempt(number: int) -> str:
        try:
            return change_rules(path, version, change("block_query", f"query {number}"))
        except RulesConflict as conflict:
            return f"conflict with {conflict.version}"

    with ThreadPoolExecutor(8) as pool:
        outcomes = set(pool.map(attempt, range(8)))
    made = load_rules(path)
    assert outcomes == {made.version, f"conflict with {made.version}"}
    assert len(made.blocked_queries) == 2
    assert len(recorded_changes(path, 100)) == 1


def test_who_and_why_are_recorded_newest_first(path: Path) -> None:
    first = load_rules(path).version
    apply(
        path, change("block_query", "查询", reason="投诉"), change("pin_query", "red boots", "p1", reason="a campaign")
    )
    newest, oldest = recorded_changes(path, 100)
    assert recorded_changes(path, 1) == [newest]
    assert (newest["kind"], newest["query"], newest["photo_id"]) == ("pin_query", "red boots", "p1")
    assert (oldest["who"], oldest["reason"], oldest["query"]) == ("reviewer", "投诉", "查询")
    assert (oldest["version_before"], newest["version"]) == (first, load_rules(path).version)
    assert newest["version_before"] == oldest["version"]


def test_a_record_that_was_cut_by_a_full_disk_is_read_as_far_as_possible(path: Path) -> None:
    apply(path, change("block_query", "first query"))
    record = path.with_name("rules.yaml.changes.jsonl")
    record.write_bytes(record.read_bytes() + b'{"kind": "blo\n[]\n\xff\n')
    assert [entry["query"] for entry in recorded_changes(path, 100)] == ["first query"]
    record.write_bytes(record.read_bytes() * 500)
    assert 0 < len(recorded_changes(path, 10_000)) < 500


def test_a_file_that_was_written_by_hand_is_kept_once(path: Path) -> None:
    first = load_rules(path).version
    apply(path, change("block_query", "a query"), change("block_query", "another query"))
    assert [file.name for file in path.parent.glob("*.bak")] == [f"rules.yaml.{first}.bak"]
    assert path.with_name(f"rules.yaml.{first}.bak").read_text() == HAND_WRITTEN
    assert yaml.safe_load(path.read_text())["length"] == {"max_words": 10}


def test_the_mode_of_the_file_is_kept_and_nothing_else_is_left(path: Path) -> None:
    path.chmod(0o640)
    path.write_text("{}\n")
    apply(path, change("block_query", "a query"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(os.listdir(path.parent)) == ["rules.yaml", "rules.yaml.changes.jsonl"]


def test_a_file_that_cannot_be_replaced_stays_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = load_rules(path).version
    assert version is not None

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RulesNotWritable, match="No space left on device"):
        change_rules(path, version, change("block_query", "a query"))
    assert path.read_text() == HAND_WRITTEN
    assert not list(path.parent.glob(".*"))


def test_numbers_of_rules_and_the_size_of_the_file_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_edit, "MAX_BLOCKED_QUERIES", 2)
    monkeypatch.setattr(rules_edit, "MAX_PINS", 2)
    apply(path, change("block_query", "a query"), change("pin_query", "red boots", "p1"))
    for one in (change("block_query", "one more"), change("pin_query", "one more", "p1")):
        with pytest.raises(RulesConflict, match="which is the limit"):
            apply(path, one)
    monkeypatch.setattr(rules_edit, "MAX_EDITED_BYTES", path.stat().st_size + 10)
    with pytest.raises(RulesConflict, match="would be over"):
        apply(path, change("unblock_query", "a query"), change("block_query", "a much longer query than before"))
    path.write_text("# " + "x" * 1000 + "\n" + path.read_text())
    with pytest.raises(RulesNotWritable, match="is over"):
        apply(path, change("block_query", "one more"))


def test_a_file_that_is_not_valid_or_not_there_is_not_changed(path: Path) -> None:
    version = load_rules(path).version
    assert version is not None
    path.write_text("blocked_queries: [5]\n")
    with pytest.raises(RulesNotWritable, match="it must be text"):
        change_rules(path, rules_edit.version_of(path.read_bytes()), change("block_query", "a query"))
    path.unlink()
    assert why_not_writable(path) == "the rules file is not there"
    with pytest.raises(RulesNotWritable, match="not there"):
        change_rules(path, version, change("block_query", "a query"))
