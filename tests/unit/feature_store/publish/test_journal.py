"""The journal of a publication."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from feature_store.errors import PublishError
from feature_store.publish.journal import Entry, Journal, path_at, place_of

ENTRIES = [
    Entry("new", "k1", {}),
    Entry("changed", "k2", {"text": b"\x00\xff", "text_at": None}),
    Entry("removed", "k3", {"summary": b"", "summary_at": b"1"}),
]


def test_entries_come_back_newest_first(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.begin("7")
        journal.append(ENTRIES[:2])
        journal.append(ENTRIES[2:])
    with Journal(tmp_path / "j") as journal:
        assert list(journal.newest_first()) == ENTRIES[::-1]
        assert (journal.publication, len(journal)) == ("7", 3)


def test_one_key_may_have_several_entries_in_a_row(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        entries = [Entry("changed", "k", {"text": b"1"}), Entry("changed", "k", {"text": b"2"})]
        journal.append(entries)
        assert list(journal.newest_first()) == entries[::-1]


def test_a_new_publication_begins_an_empty_journal_of_the_same_owner(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        owner = journal.owner
        journal.append(ENTRIES)
        journal.begin("8")
        assert (list(journal.newest_first()), journal.publication, journal.owner) == ([], "8", owner)


def test_what_was_appended_survives_kill_9_and_the_lock_does_not(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        Journal(tmp_path / "j").append(ENTRIES)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with Journal(tmp_path / "j") as journal:
        assert list(journal.newest_first()) == ENTRIES[::-1]


def test_removals_are_listed_once_and_read_in_parts(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        assert journal.list_removals(iter([["a"], ["old"]])) == 2
        assert journal.list_removals(iter([["a", "b"], [], ["b", "c"]])) == 3
        assert list(journal.removals(2)) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"no database at all" * 100, "is no journal"), (None, "cannot be used")]
)
def test_a_file_that_cannot_be_a_journal_is_refused_in_one_sentence(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "there" / "j" if content is None else tmp_path / "j"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PublishError, match=f"{sentence}.*--journal"):
        Journal(path)


def test_a_place_is_found_on_its_own_host_only(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.touch()
    assert path_at(place_of(path)) == path
    assert path_at(f"elsewhere:{path}") is None
    assert path_at(place_of(tmp_path / "gone")) is None
    assert path_at("") is None
