"""Histories, anchors, user histories and the personal filter, on logs small enough to check by eye."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evidence.embedding import embed, filter_personal
from offline.evidence.anchor_report import clicks_of_day, tune_personal
from offline.evidence.anchors import AnchorSettings, fuse
from offline.evidence.embedded_logs import EmbeddedLogs, EvidenceSettings, embed_logs
from offline.evidence.histories import HistorySettings
from offline.evidence.personal import UserSettings, filter_personal_rows
from offline.evidence.ranked import RankedQueries

VIDEOS = [
    {"photo_id": "p0", "caption": "steel kettle for tea"},
    {"photo_id": "p1", "caption": "steel kettle for camping tea"},
    {"photo_id": "p2", "caption": "carbon road bike"},
    {"photo_id": "p3", "caption": None},
]
SEEN = [{"impression_id": f"i{d}", "day": d, "user_id": "u0", "photo_id": "p0"} for d in range(6)]


def search(
    day: int, query: str, photo: str | None = None, *, user: str = "u0", source: str | None = None
) -> dict[str, Any]:
    return {
        "day": day,
        "user_id": user,
        "query": query,
        "source": source or ("post_video" if photo else "search_box"),
        "photo_id": photo,
    }


@pytest.fixture
def shop(dataset: Callable[..., Path]) -> Callable[..., EmbeddedLogs]:
    def make(searches: list[dict[str, Any]], **settings: Any) -> EmbeddedLogs:
        rows = [{**row, "search_id": f"s{i}"} for i, row in enumerate(searches)]
        users = [{"user_id": "u0"}, {"user_id": "u1"}]
        folder = dataset(videos=VIDEOS, users=users, impressions=SEEN, searches=rows)
        return embed_logs(folder, EvidenceSettings(**settings))

    return make


def collaborative(embedded: EmbeddedLogs, day: int) -> tuple[list[list[str]], list[list[str]]]:
    fields = embedded.collaborative(np.arange(len(VIDEOS)), day)
    anchors, histories = (field.to_strings(embedded.logs.queries).to_pylist() for field in fields)
    return anchors, histories


def past_queries(embedded: EmbeddedLogs, day: int) -> list[list[str]]:
    """The past queries of each user."""
    found: list[list[str]] = embedded.user_histories(day).to_strings(embedded.logs.queries).to_pylist()
    return found


def test_histories_are_the_queries_of_the_video_most_frequent_first(shop: Callable[..., EmbeddedLogs]) -> None:
    embedded = shop([search(0, "kettle", "p0"), search(1, "tea kettle", "p0"), search(1, "tea kettle", "p0")])
    assert collaborative(embedded, 2)[1] == [["tea kettle", "kettle"], [], [], []]


def test_histories_exclude_the_day_itself_and_days_before_the_window(shop: Callable[..., EmbeddedLogs]) -> None:
    embedded = shop(
        [search(0, "old", "p0"), search(2, "recent", "p0"), search(3, "today", "p0"), search(4, "tomorrow", "p0")],
        histories=HistorySettings(window_days=2),
    )
    assert collaborative(embedded, 3)[1][0] == ["recent"]


def test_searches_that_no_video_caused_are_no_histories(shop: Callable[..., EmbeddedLogs]) -> None:
    embedded = shop([search(0, "kettle"), search(0, "kettles", "p0", source="reformulation")])
    assert collaborative(embedded, 1)[1] == [[], [], [], []]


def test_anchors_come_from_neighbours_and_never_from_the_trigger_itself(shop: Callable[..., EmbeddedLogs]) -> None:
    embedded = shop([search(0, "camping kettle", "p1"), search(0, "gravel bike", "p2")])
    anchors, _ = collaborative(embedded, 1)
    assert anchors == [["camping kettle"], [], [], []]


def test_frequent_and_similar_queries_of_a_neighbour_rank_first(shop: Callable[..., EmbeddedLogs]) -> None:
    embedded = shop(
        [search(0, "steel kettle", "p1"), search(0, "tent", "p1"), *[search(0, "camping kettle", "p1")] * 3]
    )
    assert collaborative(embedded, 1)[0][0][0] == "camping kettle"
    assert "tent" not in collaborative(embedded, 1)[0][0][:2]


def test_neighbours_under_the_threshold_are_ignored(shop: Callable[..., EmbeddedLogs]) -> None:
    searches = [search(0, "camping kettle", "p1")]
    assert collaborative(shop(searches, anchors=AnchorSettings(similarity_threshold=0.999)), 1)[0][0] == []


def test_a_video_without_text_has_no_anchors(shop: Callable[..., EmbeddedLogs]) -> None:
    embedded = shop([search(0, "kettle", "p0")], anchors=AnchorSettings(similarity_threshold=-1.0))
    assert collaborative(embedded, 1)[0][3] == []


def test_on_the_first_day_nothing_is_known(shop: Callable[..., EmbeddedLogs]) -> None:
    assert collaborative(shop([search(0, "kettle", "p0")]), 0) == ([[], [], [], []], [[], [], [], []])


def test_user_histories_are_newest_first_without_repeats(shop: Callable[..., EmbeddedLogs]) -> None:
    embedded = shop(
        [
            search(0, "kettle"),
            search(1, "bike", "p2"),
            search(2, "kettle"),
            search(2, "x", user="u1"),
            search(3, "tent"),
        ]
    )
    assert past_queries(embedded, 3) == [["kettle", "bike"], ["x"]]


def test_user_histories_are_limited(shop: Callable[..., EmbeddedLogs]) -> None:
    embedded = shop([search(0, f"query {number}") for number in range(9)], users=UserSettings(limit=2))
    assert past_queries(embedded, 1)[0] == ["query 8", "query 7"]


def test_user_histories_leave_out_queries_without_item_search_intent(shop: Callable[..., EmbeddedLogs]) -> None:
    idle = [{**search(day, "funny cats"), "item_clicks": 0} for day in (0, 1, 1, 2, 2) for _ in range(4)]
    embedded = shop([search(0, "kettle"), search(1, "kettle"), *idle], users=UserSettings(limit=1))
    assert past_queries(embedded, 3)[0] == ["kettle"]


def test_the_personal_field_is_the_one_that_serving_makes(busy_logs: EmbeddedLogs) -> None:
    embedded = busy_logs
    logs, settings = embedded.logs, UserSettings(personal_limit=4)
    pasts = embedded.user_histories(6)
    photos = np.arange(logs.num_photos)
    users = photos % logs.num_users
    rows = filter_personal_rows(embedded.video_vectors, photos, pasts.take(users), embedded.query_vectors, settings)
    past_texts = pasts.to_strings(logs.queries).to_pylist()
    assert rows.lengths.max() == settings.personal_limit
    for photo, user, chosen in zip(photos, users, rows.to_strings(logs.queries).to_pylist(), strict=True):
        trigger = embedded.video_vectors[photo]
        served = filter_personal(trigger, past_texts[user], limit=settings.personal_limit)
        # Queries that differ in a stop word may be equally similar up to rounding, and may then be in either order.
        assert embed(chosen) @ trigger == pytest.approx(embed(served) @ trigger, abs=1e-6)


def test_the_personal_threshold_keeps_the_words_that_only_past_queries_have(shop: Callable[..., EmbeddedLogs]) -> None:
    # On day 5 the viewer searches for the brand of an older query, which is less like the video than a newer one.
    past = [search(1, "norvik kettle descaler"), search(2, "steel kettle for tea"), search(3, "carbon road bike")]
    embedded = shop([*past, search(5, "norvik kettle", "p0")])
    clicks = clicks_of_day(embedded, 5)
    chosen, tried = tune_personal(embedded, clicks, embedded.settings.users)

    trigger, older = embedded.video_vectors[0], embed(["norvik kettle descaler"])[0]
    assert tried[0]["word_rate"] == 1.0
    assert all(figures["hit_rate"] == 0 for figures in tried)
    assert chosen.personal_threshold < float(trigger @ older)
    assert chosen.personal_threshold == max(f["personal_threshold"] for f in tried if f["word_rate"] == 1.0)


# The second source of anchors: the queries nearest to the video itself


def by_queries(**settings: Any) -> AnchorSettings:
    return AnchorSettings(query_weight=1.0, **settings)


def test_the_queries_nearest_to_a_video_are_anchors_wherever_they_were_issued(
    shop: Callable[..., EmbeddedLogs],
) -> None:
    embedded = shop([search(0, "steel kettle", "p2"), search(0, "gravel bike", "p1")], anchors=by_queries())
    anchors, _ = collaborative(embedded, 1)
    assert anchors[0][0] == "steel kettle"
    assert anchors[2] == ["gravel bike"]


def test_a_query_that_only_the_video_itself_has_is_no_anchor_of_it(shop: Callable[..., EmbeddedLogs]) -> None:
    searches = [search(0, "steel kettle", "p0"), search(0, "tea kettle", "p0"), search(0, "tea kettle", "p1")]
    for anchors in (by_queries(), AnchorSettings(query_weight=0.5)):
        assert collaborative(shop(searches, anchors=anchors), 1)[0][:2] == [
            ["tea kettle"],
            ["steel kettle", "tea kettle"],
        ]


def test_a_popular_query_is_preferred_by_the_weight_of_popularity(shop: Callable[..., EmbeddedLogs]) -> None:
    searches = [search(0, "steel kettle", "p2"), *[search(0, "kettle", "p2")] * 20]
    first = [collaborative(shop(searches, anchors=by_queries(popularity=weight)), 1)[0][0][0] for weight in (0.0, 1.0)]
    assert first == ["steel kettle", "kettle"]


def test_a_query_under_its_threshold_is_no_anchor(shop: Callable[..., EmbeddedLogs]) -> None:
    searches = [search(0, "steel kettle", "p1"), search(0, "tent", "p1")]
    assert collaborative(shop(searches, anchors=by_queries(query_threshold=0.3)), 1)[0][0] == ["steel kettle"]
    assert collaborative(shop(searches, anchors=by_queries(query_threshold=0.99)), 1)[0][0] == []


def test_nearest_queries_use_only_the_days_of_the_window(shop: Callable[..., EmbeddedLogs]) -> None:
    searches = [search(0, "old kettle", "p1"), search(2, "kettle", "p1"), search(3, "kettle today", "p1")]
    embedded = shop(searches, anchors=by_queries(window_days=2))
    assert collaborative(embedded, 3)[0][0] == ["kettle"]
    assert collaborative(embedded, 0)[0] == [[], [], [], []]


def test_lists_are_fused_by_their_weights_and_ranks() -> None:
    first = RankedQueries(np.array([0, 3, 3]), np.array([1, 2, 3]), np.ones(3, np.float32))
    second = RankedQueries(np.array([0, 2, 3]), np.array([3, 4, 5]), np.ones(3, np.float32))
    even = fuse([(first, 0.5), (second, 0.5)], limit=9)
    assert even.offsets.tolist() == [0, 4, 5]
    assert even.queries.tolist() == [3, 1, 2, 4, 5]  # 3 is in both lists; 2 and 4 have one rank, and are by code
    assert fuse([(first, 0.9), (second, 0.1)], limit=2).queries.tolist() == [1, 3, 5]
