"""The item-search intent of queries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from offline.evidence.embedded_logs import EmbeddedLogs, embed_logs
from offline.evidence.intent import IntentSettings, item_intent

VIDEOS = [{"photo_id": "p0"}]
SEEN = [{"impression_id": "i0", "day": 0, "user_id": "u0", "photo_id": "p0"}]


@pytest.fixture
def searched(dataset: Callable[..., Path]) -> Callable[..., EmbeddedLogs]:
    """Logs with searches of (day, query, item clicks, times)."""

    def make(*searches: tuple[int, str, int, int]) -> EmbeddedLogs:
        rows = [
            {"day": day, "user_id": "u0", "query": query, "source": "search_box", "item_clicks": clicks}
            for day, query, clicks, times in searches
            for _ in range(times)
        ]
        named = [{**row, "search_id": f"s{number}"} for number, row in enumerate(rows)]
        return embed_logs(dataset(videos=VIDEOS, users=[{"user_id": "u0"}], impressions=SEEN, searches=named))

    return make


def intent(embedded: EmbeddedLogs, before_day: int) -> dict[str, float]:
    values = item_intent(embedded.logs, embedded.query_vectors, before_day, IntentSettings())
    return dict(zip(embedded.logs.queries.to_pylist(), values.tolist(), strict=True))


def test_queries_that_lead_to_items_have_intent(searched: Callable[..., EmbeddedLogs]) -> None:
    known = intent(searched((0, "red shoes", 2, 40), (0, "what song is this", 0, 40)), 1)
    assert known["red shoes"] > 0.9
    assert known["what song is this"] < 0.1


def test_an_unseen_query_is_judged_by_its_words(searched: Callable[..., EmbeddedLogs]) -> None:
    shops = [(0, f"{colour} shoes price", 1, 30) for colour in ("red", "blue", "green", "black")]
    songs = [(0, f"what song is {word}", 0, 30) for word in ("this", "that", "playing", "here")]
    known = intent(searched(*shops, *songs, (1, "white shoes price", 0, 1), (1, "what song is it", 3, 1)), 1)
    assert known["white shoes price"] > 0.7
    assert known["what song is it"] < 0.3


def test_one_search_says_less_than_many(searched: Callable[..., EmbeddedLogs]) -> None:
    known = intent(searched((0, "kettle", 1, 50), (0, "zither", 0, 1), (0, "quilt", 0, 50)), 1)
    assert known["quilt"] < known["zither"] < known["kettle"]


def test_later_days_say_nothing(searched: Callable[..., EmbeddedLogs]) -> None:
    shared = [(0, "red shoes", 1, 20), (0, "what song", 0, 20)]
    with_later = intent(searched(*shared, (1, "red shoes", 0, 90)), 1)
    assert with_later == pytest.approx(intent(searched(*shared), 1))


def test_without_any_search_nothing_is_filtered(searched: Callable[..., EmbeddedLogs]) -> None:
    assert intent(searched((0, "kettle", 0, 9)), 0) == {"kettle": 1.0}
