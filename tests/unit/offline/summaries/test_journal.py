"""What is done is found again, also after a kill at any byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline.summaries.errors import JournalError
from offline.summaries.journal import NAME, Journal, content_key


def test_results_are_found_by_kind_and_key(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.put("screen", "k", ["无线"])
        journal.put("speech", "k", "hello")
        journal.put("speech", "k", "hello again")
    with Journal(tmp_path) as journal:
        assert journal.get("screen", "k") == ["无线"]
        assert journal.get("speech", "k") == "hello again"
        assert journal.get("speech", "other") is None


def test_a_kill_at_any_byte_loses_only_the_last_record(tmp_path: Path) -> None:
    with Journal(tmp_path / "whole") as journal:
        journal.put("speech", "a", "one")
        journal.put("speech", "b", "two")
    content = (tmp_path / "whole" / NAME).read_bytes()
    first = content.index(b"\n") + 1
    for cut in range(len(content) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / NAME).write_bytes(content[:cut])
        with Journal(folder) as journal:
            assert (journal.get("speech", "a") == "one") == (cut >= first)
            assert (journal.get("speech", "b") == "two") == (cut == len(content))
            journal.put("speech", "c", "three")
        with Journal(folder) as journal:
            assert journal.get("speech", "c") == "three"


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.put("speech", "a", "one")
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes() + b"\x00\x00\n" + path.read_bytes())
    with pytest.raises(JournalError, match="line 2 is damaged; remove the line, or the file"):
        Journal(tmp_path)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(JournalError, match="another process writes to"):
        Journal(tmp_path)
    with Journal(tmp_path):
        pass


def test_an_unfinished_run_is_continued_with_what_it_has_spent(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        assert journal.begin_run() == 0
        journal.settle(journal.reserve(1.0), 0.25)
        journal.reserve(2.0)  # killed before its end is known
    with Journal(tmp_path) as journal:
        assert journal.begin_run() == 2.25
        journal.settle(journal.reserve(1.0), 1.0)
        assert journal.begin_run() == 3.25
        journal.end_run()
    with Journal(tmp_path) as journal:
        assert journal.begin_run() == 0


def test_a_key_depends_on_every_part() -> None:
    keys = {content_key(*parts) for parts in (("a", "b"), ("ab", ""), ("a", ["b"]), ("a", {"b": 1}), ("a", "b", None))}
    assert len(keys) == 5
    assert content_key({"x": 1, "y": "吸"}) == content_key({"y": "吸", "x": 1})
