"""Ordering the candidates of lists, on candidates that are small enough to check by eye."""

from __future__ import annotations

import numpy as np

from offline.evidence.list_candidates import Candidates
from offline.evidence.list_order import OrderCounts, order_lists

MIN_EXPOSURES = 10
OFTEN, SELDOM = 10, 9
"""Exposures of a candidate whose CTR is compared, and of one whose CTR is not."""


def order(*rows: tuple[int, float, int, int], same: dict[int, int] | None = None) -> tuple[list[int], OrderCounts]:
    """Return the chosen queries of one list of (level, ctr, shown, count); query i is row i."""
    level, ctr, shown, count = (np.array(column) for column in zip(*rows, strict=True))
    queries = np.arange(len(rows))
    candidates = Candidates(np.zeros_like(queries), queries, level, ctr.astype(float), count, shown)
    folded = np.array([(same or {}).get(query, query) for query in range(len(rows))])
    counts = OrderCounts()
    return order_lists(candidates, 1, folded, MIN_EXPOSURES, counts).query.tolist(), counts


def test_queries_are_in_the_order_of_their_levels() -> None:
    assert order((6, 0.01, SELDOM, 0), (1, 0.05, SELDOM, 0), (5, 0.02, SELDOM, 0))[0] == [1, 2, 0]


def test_the_highest_ctr_of_a_level_is_chosen() -> None:
    chosen, counts = order((1, 0.05, SELDOM, 0), (4, 0.02, SELDOM, 0), (4, 0.03, SELDOM, 0), (4, 0.01, SELDOM, 9))
    assert chosen == [0, 2]
    assert counts.not_the_best == {1: 0, 2: 0, 3: 0, 4: 2, 5: 0, 6: 0}


def test_of_equal_ctrs_the_larger_count_is_chosen_and_then_the_first_spelling() -> None:
    assert order((1, 0.05, SELDOM, 1), (1, 0.05, SELDOM, 3), (1, 0.05, SELDOM, 3), (1, 0.05, SELDOM, 2))[0] == [1]


def test_a_ctr_over_that_of_a_better_level_contradicts_the_order() -> None:
    chosen, counts = order((2, 0.03, OFTEN, 0), (3, 0.04, OFTEN, 0), (3, 0.02, OFTEN, 0), (5, 0.01, OFTEN, 0))
    assert chosen == [0, 2, 3]
    assert counts.contradicting == {1: 0, 2: 0, 3: 1, 4: 0, 5: 0, 6: 0}


def test_an_equal_ctr_does_not_contradict() -> None:
    assert order((2, 0.03, OFTEN, 0), (3, 0.03, OFTEN, 0))[0] == [0, 1]


def test_ctrs_of_few_exposures_are_not_compared() -> None:
    assert order((2, 0.03, SELDOM, 0), (3, 0.04, OFTEN, 0))[0] == [0, 1]
    assert order((2, 0.03, OFTEN, 0), (3, 0.04, SELDOM, 0))[0] == [0, 1]


def test_a_ctr_is_compared_with_the_lowest_of_all_better_levels() -> None:
    """Level 4 has the lowest CTR that may be compared; that of level 5, from few exposures, is not."""
    rows = [(1, 0.05, OFTEN, 0), (4, 0.02, OFTEN, 0), (5, 0.01, SELDOM, 0), (6, 0.03, OFTEN, 0)]
    assert order(*rows)[0] == [0, 1, 2]
    rows[3] = (6, 0.015, OFTEN, 0)
    assert order(*rows)[0] == [0, 1, 2, 3]


def test_what_was_dropped_is_not_compared_with() -> None:
    """The CTR .04 of level 3 is dropped; the one of level 4 is compared with .03 only, and with what is chosen."""
    rows = [(2, 0.03, OFTEN, 0), (3, 0.04, OFTEN, 0), (3, 0.01, OFTEN, 0), (4, 0.02, OFTEN, 0)]
    assert order(*rows)[0] == [0, 2]
    del rows[2]
    assert order(*rows)[0] == [0, 2]


def test_a_query_has_its_best_level_only() -> None:
    chosen, counts = order((4, 0.05, OFTEN, 0), (2, 0.02, OFTEN, 0), (5, 0.01, OFTEN, 0), same={0: 7, 1: 7})
    assert chosen == [1, 2]
    assert counts.candidates == {1: 0, 2: 1, 3: 0, 4: 1, 5: 1, 6: 0}
    assert counts.repeated == 1


def test_lists_do_not_influence_each_other() -> None:
    """The first list alone has a low CTR at its first level."""
    columns = np.array([[0, 0, 1, 1], [0, 1, 0, 1], [2, 3, 2, 3]])
    ctr = np.array([0.02, 0.04, 0.05, 0.04])
    shown = np.full(4, OFTEN)
    candidates = Candidates(columns[0], columns[1], columns[2], ctr, shown, shown)
    ordered = order_lists(candidates, 2, np.arange(2), MIN_EXPOSURES, OrderCounts())
    assert list(zip(ordered.owner.tolist(), ordered.query.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1)]
