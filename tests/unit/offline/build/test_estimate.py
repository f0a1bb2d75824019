"""The estimate grows with the tables, and a disk that is too small is refused."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from offline.build.errors import SpaceError
from offline.build.estimate import Cost, check_disk, estimate, in_bytes, in_time, to_text
from offline.logs.intake import ORDER

STEPS = ("tables", "summaries", "embedder", "evidence", "users", "examples")
SMALL = dict.fromkeys(ORDER, 1_000)
LARGE = dict.fromkeys(ORDER, 1_000_000)
Usage = namedtuple("Usage", "total used free")


def test_larger_tables_cost_more_of_each() -> None:
    small, large = (estimate(STEPS, rows, with_files=True) for rows in (SMALL, LARGE))
    for name in STEPS:
        assert large[name].seconds > small[name].seconds > 0
        assert large[name].memory_bytes > small[name].memory_bytes > 0
    assert large["evidence"].disk_bytes > 1000 * small["evidence"].disk_bytes * 0.9


def test_the_memory_of_events_is_bounded_by_the_engine() -> None:
    free = estimate(["evidence"], LARGE, with_files=False)["evidence"].memory_bytes
    bound = estimate(["evidence"], LARGE, with_files=False, memory_limit=2**20)["evidence"].memory_bytes
    assert free - bound == 4_000_000 * 70 - 2**20


def test_videos_are_searched_in_blocks_so_that_a_video_more_costs_less_from_then_on() -> None:
    few, more, many, all_of_them = (
        estimate(["evidence"], {**SMALL, "videos": videos}, with_files=False)["evidence"].memory_bytes
        for videos in (10_000, 20_000, 1_000_000, 1_010_000)
    )
    assert more - few > 3 * (all_of_them - many)


def test_summaries_of_texts_alone_cost_little() -> None:
    with_files, texts = (estimate(["summaries"], LARGE, with_files=files)["summaries"] for files in (True, False))
    assert texts.seconds < with_files.seconds / 1000


def test_a_disk_that_is_too_small_is_refused_with_both_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 3 * 2**30))
    costs = {"evidence": Cost(1, 1, 2 * 2**30), "users": Cost(1, 1, 2 * 2**30)}
    with pytest.raises(SpaceError, match=r"about 4.0 GiB to .*, and its disk has 3.0 GiB free; free some space"):
        check_disk(tmp_path / "not" / "there", costs)
    check_disk(tmp_path / "not" / "there", {"users": costs["users"]})


def test_the_table_has_each_step_and_the_sum() -> None:
    text = to_text({"tables": "", "evidence": "not done yet"}, {"evidence": Cost(90, 2**20, 2**31)})
    assert [line.split()[0] for line in text.splitlines()] == ["step", "tables", "evidence", "together"]
    assert "unchanged, will be skipped" in text
    assert "90 s" in text
    assert "2.0 GiB  not done yet" in text


def test_sizes_and_times_are_short() -> None:
    assert (in_time(119), in_time(125), in_time(7300)) == ("119 s", "2 min", "2 h")
    assert (in_bytes(2**20), in_bytes(3 * 2**29)) == ("1 MiB", "1.5 GiB")
