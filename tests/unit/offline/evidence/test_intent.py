"""The item-search intent of queries."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from evidence.embedding import embed
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.intent import IntentSettings, item_intent

Search = tuple[int, str, int, int]
"""Day, query, searches with an item click, searches."""


def intent(shop: EmbeddedLogs, searches: list[Search], before_day: int) -> dict[str, float]:
    """Return the intent of each query in a shop that has these searches only."""
    queries = sorted({query for _, query, _, _ in searches})
    rows = pa.table(
        {
            "day": pa.array([day for day, _, _, _ in searches], pa.int32()),
            "query": pa.array([queries.index(query) for _, query, _, _ in searches], pa.int64()),
            "searched": [times for _, _, _, times in searches],
            "clicked": [clicked for _, _, clicked, _ in searches],
        }
    )
    logs = replace(shop.logs, searches=shop.logs.engine.load(rows), queries=pa.array(queries))
    values = item_intent(logs, embed(queries), before_day, IntentSettings())
    return dict(zip(queries, values.tolist(), strict=True))


def test_queries_that_lead_to_items_have_intent(busy_logs: EmbeddedLogs) -> None:
    known = intent(busy_logs, [(0, "red shoes", 40, 40), (0, "what song is this", 0, 40)], 1)
    assert known["red shoes"] > 0.9
    assert known["what song is this"] < 0.1


def test_an_unseen_query_is_judged_by_its_words(busy_logs: EmbeddedLogs) -> None:
    shops: list[Search] = [(0, f"{colour} shoes price", 30, 30) for colour in ("red", "blue", "green", "black")]
    songs: list[Search] = [(0, f"what song is {word}", 0, 30) for word in ("this", "that", "playing", "here")]
    later: list[Search] = [(1, "white shoes price", 0, 1), (1, "what song is it", 1, 1)]
    known = intent(busy_logs, [*shops, *songs, *later], 1)
    assert known["white shoes price"] > 0.7
    assert known["what song is it"] < 0.3


def test_one_search_says_less_than_many(busy_logs: EmbeddedLogs) -> None:
    known = intent(busy_logs, [(0, "kettle", 50, 50), (0, "zither", 0, 1), (0, "quilt", 0, 50)], 1)
    assert known["quilt"] < known["zither"] < known["kettle"]


def test_the_days_before_add_up_and_later_days_say_nothing(busy_logs: EmbeddedLogs) -> None:
    in_one_day: list[Search] = [(0, "red shoes", 20, 20), (0, "what song", 0, 20)]
    in_two_days: list[Search] = [(0, "red shoes", 9, 9), (1, "red shoes", 11, 11), (0, "what song", 0, 20)]
    with_later = intent(busy_logs, [*in_two_days, (2, "red shoes", 0, 90)], 2)
    assert with_later == pytest.approx(intent(busy_logs, in_one_day, 1))


def test_without_any_search_nothing_is_filtered(busy_logs: EmbeddedLogs) -> None:
    assert intent(busy_logs, [(0, "kettle", 0, 9)], 0) == {"kettle": 1.0}
