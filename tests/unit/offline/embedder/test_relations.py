"""The pairs of Table 1, on logs small enough to check by eye."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offline.embedder.relations import (
    QUERY_QUERY,
    QUERY_VIDEO,
    VIDEO_QUERY,
    WITH_NEGATIVE,
    Relations,
    hard_negatives,
    read_relations,
)
from offline.embedder.training import stage_columns
from offline.logs.coded import load_logs
from offline.logs.intake import IntakeSettings

BAD_ROWS = IntakeSettings(max_bad_share=0.5)  # one click and one exposure name what no table has
VIDEOS = [
    {"photo_id": "p0", "caption": "steel kettle", "summary": "The video shows a kettle"},
    {"photo_id": "p1", "caption": "road bike"},
    {"photo_id": "p2", "caption": None},
]


def search(number: int, day: int, query: str, **columns: Any) -> dict[str, Any]:
    return {"search_id": f"s{number}", "day": day, "user_id": "u0", "query": query, "source": "search_box", **columns}


SEARCHES = [
    search(0, 0, "Kettle"),
    search(1, 1, "kettle", source="post_video", photo_id="p0"),
    search(2, 1, "tea  kettle", source="reformulation", previous_query="kettle"),
    search(3, 1, "tea kettle", source="reformulation", previous_query="tea kettle"),
    search(4, 2, "bike", source="post_video", photo_id="p2"),
    search(5, 2, "bike", source="reformulation", previous_query="a query that no table has"),
    search(6, 1, "kettle", source="post_video", photo_id="p0"),
]
CLICKS = [
    {"search_id": "s0", "day": 0, "query": "Kettle", "photo_id": "p0"},
    {"search_id": "s0", "day": 0, "query": "Kettle", "photo_id": "p2"},
    {"search_id": "s2", "day": 1, "query": "tea kettle", "photo_id": "p0"},
    {"search_id": "s4", "day": 2, "query": "bike", "photo_id": "unknown"},
]
EXPOSURES = [
    {"impression_id": "i1", "day": 1, "query": "bike", "clicked": True},
    {"impression_id": "i1", "day": 1, "query": "kettle", "clicked": False},
    {"impression_id": "i2", "day": 2, "query": "bike", "clicked": False},
    {"impression_id": "gone", "day": 1, "query": "tea kettle", "clicked": False},
]
SEEN = [{"impression_id": f"i{day}", "day": day, "user_id": "u0", "photo_id": "p1"} for day in range(3)]


@pytest.fixture
def shop(dataset: Callable[..., Path]) -> Path:
    return dataset(
        videos=VIDEOS,
        users=[{"user_id": "u0"}],
        impressions=SEEN,
        exposures=EXPOSURES,
        searches=SEARCHES,
        search_clicks=CLICKS,
    )


@pytest.fixture
def relations(shop: Path) -> Relations:
    return read_relations(load_logs(shop, settings=BAD_ROWS))


def texts(relations: Relations, name: str, before_day: int = 9) -> list[tuple[str, str, int]]:
    pairs = relations.events[name].pairs(0, before_day)
    left, right = relations.left_texts(name), relations.right_texts(name)
    return [(left[a], right[b], int(n)) for a, b, n in zip(pairs.left, pairs.right, pairs.count, strict=True)]


def test_a_search_click_pairs_the_query_with_the_text_and_summary_of_the_video(relations: Relations) -> None:
    video = "steel kettle a kettle"
    assert texts(relations, QUERY_VIDEO) == [("Kettle", video, 1), ("tea kettle", video, 1)]


def test_a_query_issued_on_a_video_or_clicked_below_it_follows_the_video(relations: Relations) -> None:
    assert texts(relations, VIDEO_QUERY) == [("steel kettle a kettle", "kettle", 2), ("road bike", "bike", 1)]


def test_a_reformulation_pairs_two_different_queries_of_the_logs(relations: Relations) -> None:
    assert texts(relations, QUERY_QUERY) == [("kettle", "tea kettle", 1)]


def test_pairs_of_later_days_are_left_out(relations: Relations) -> None:
    assert [len(relations.events[name].pairs(0, 1)) for name in (QUERY_VIDEO, VIDEO_QUERY, QUERY_QUERY)] == [1, 0, 0]
    assert list(relations.texts(1)) == ["steel kettle a kettle", "Kettle"]


def test_the_tokenizer_reads_a_query_as_often_as_it_occurs(relations: Relations) -> None:
    read = list(relations.texts(9))
    assert (read.count("tea kettle"), read.count("kettle"), read.count("road bike")) == (2, 3, 1)


def test_a_hard_negative_was_shown_on_the_video_and_never_wanted_there(shop: Path) -> None:
    relations = read_relations(load_logs(shop, settings=BAD_ROWS), with_unclicked=True)
    pairs = relations.events[VIDEO_QUERY].pairs(0, 9)
    found = hard_negatives(relations, pairs, 9, seed=0)
    # Video p0 was shown without a bar. On p1 "bike" was clicked once, so only "kettle" is a negative.
    assert [relations.query_texts[code] if code >= 0 else None for code in found] == [None, "kettle"]
    assert hard_negatives(relations, pairs, 1, seed=0).tolist() == [-1, -1]


def test_pairs_with_a_hard_negative_are_a_set_of_their_own(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offline.embedder.training.MIN_PAIRS", 1)
    relations = read_relations(load_logs(shop, settings=BAD_ROWS), with_unclicked=True)
    assert stage_columns(relations, [VIDEO_QUERY], 9) == {
        VIDEO_QUERY: {"left": ["steel kettle a kettle"], "right": ["kettle"]},
        WITH_NEGATIVE: {"left": ["road bike"], "right": ["bike"], "negative": ["kettle"]},
    }
