"""Ranking the queries of many owners at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from offline.evidence.ranked import RankedQueries, rank_queries

VOCABULARY = pa.array(["apple", "bike", "chair", "desk"])


def rank(rows: list[tuple[int, int, float, int]], num_owners: int = 3, limit: int = 9) -> list[list[str]]:
    owners, queries, weights, timestamps = (np.array(column) for column in zip(*rows, strict=True))
    ranked = rank_queries(owners, queries, weights.astype(np.float32), timestamps, num_owners=num_owners, limit=limit)
    return ranked.to_strings(VOCABULARY).to_pylist()


def test_weights_of_equal_pairs_add_up() -> None:
    assert rank([(0, 1, 1, 5), (0, 2, 1.5, 6), (0, 1, 1, 7)]) == [["bike", "chair"], [], []]


def test_equal_weights_are_ordered_by_time_and_then_by_alphabet() -> None:
    assert rank([(1, 3, 0, 5), (1, 2, 0, 9), (1, 1, 0, 5)]) == [[], ["chair", "bike", "desk"], []]


def test_the_limit_holds_for_each_owner() -> None:
    rows = [(owner, query, query, 0) for owner in (0, 2) for query in range(4)]
    assert rank(rows, limit=2) == [["desk", "chair"], [], ["desk", "chair"]]


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = [(owner, query, owner + query % 2, query) for owner in range(3) for query in range(4)]
    assert rank(rows) == rank(rows[::-1])


def test_nothing_to_rank() -> None:
    empty = np.zeros(0, np.int64)
    ranked = rank_queries(empty, empty, np.zeros(0, np.float32), empty, num_owners=2, limit=3)
    assert ranked.to_strings(VOCABULARY).to_pylist() == [[], []]


def test_take_repeats_reorders_and_fills() -> None:
    ranked = RankedQueries(np.array([0, 2, 2, 3]), np.array([0, 1, 3]), np.ones(3, np.float32))
    taken = ranked.take(np.array([2, 0, -1, 1, 0]))
    assert taken.to_strings(VOCABULARY).to_pylist() == [["desk"], ["apple", "bike"], [], [], ["apple", "bike"]]
