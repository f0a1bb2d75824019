"""Order the candidates of lists: one candidate a level, and no contradiction with the CTR (paper, 3.4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from offline.arrays import BoolArray, IntArray
from offline.evidence.list_candidates import Candidates, Level


def by_level() -> dict[int, int]:
    """Return a zero for every level."""
    return {int(level): 0 for level in Level}


@dataclass(slots=True)
class OrderCounts:
    """What became of the candidates, by level where it says so.

    Attributes:
        candidates: those of every list together.
        repeated: removed, because the same query has a better level in its list.
        contradicting: removed, because the CTR contradicts the order of levels.
        not_the_best: removed, because another candidate of the level has a higher CTR.
        chosen: the others.
    """

    candidates: dict[int, int] = field(default_factory=by_level)
    repeated: int = 0
    contradicting: dict[int, int] = field(default_factory=by_level)
    not_the_best: dict[int, int] = field(default_factory=by_level)
    chosen: dict[int, int] = field(default_factory=by_level)


def order_lists(
    candidates: Candidates, num_lists: int, folded: IntArray, min_exposures: int, counts: OrderCounts
) -> Candidates:
    """Return the ordered lists: at most one candidate a level, best level first.

    Queries that are equal apart from case are one, at its best level. Then the levels are read from the best to the
    worst. A candidate is dropped when its CTR is over the lowest CTR of the candidates chosen at better levels; only
    candidates with `min_exposures` are compared. Of the others the one with the highest CTR is chosen; on a tie the one
    with the larger count, then the first in alphabetical order.

    Args:
        candidates: of all lists.
        num_lists: the number of lists.
        folded: int64[queries], the same number for queries that are equal apart from case.
        min_exposures: on the video, for a CTR to be compared.
        counts: what became of the candidates is added to it.
    """
    _add(counts.candidates, candidates.level)
    rows = _without_repetitions(candidates, folded)
    counts.repeated += len(candidates.owner) - len(rows.owner)
    rows = rows.take(np.lexsort((rows.query, -rows.count, -rows.ctr, rows.level, rows.owner)))
    supported = rows.shown >= min_exposures
    lowest = np.full(num_lists, np.inf)
    chosen = np.zeros(len(rows.owner), bool)
    for level in Level:
        of_level = rows.level == level
        contradicting = of_level & supported & (rows.ctr > lowest[rows.owner])
        consistent = np.flatnonzero(of_level & ~contradicting)
        best = consistent[_first_of_each(rows.owner[consistent])]
        chosen[best] = True
        compared = best[supported[best]]
        lowest[rows.owner[compared]] = rows.ctr[compared]  # not over what it was, or it would be contradicting
        counts.contradicting[level] += int(contradicting.sum())
        counts.not_the_best[level] += len(consistent) - len(best)
        counts.chosen[level] += len(best)
    return rows.take(chosen)


def _without_repetitions(rows: Candidates, folded: IntArray) -> Candidates:
    """Return the best candidate of each list and folded query: by level, then as within a level."""
    same = folded[rows.query]
    order = np.lexsort((rows.query, -rows.count, -rows.ctr, rows.level, same, rows.owner))
    owner, same = rows.owner[order], same[order]
    first = np.ones(len(order), bool)
    first[1:] = (owner[1:] != owner[:-1]) | (same[1:] != same[:-1])
    return rows.take(order[first])


def _first_of_each(owners: IntArray) -> BoolArray:
    """Return bool[n]: the first row of each owner; the owners are ascending."""
    first = np.ones(len(owners), bool)
    first[1:] = owners[1:] != owners[:-1]
    return first


def _add(counts: dict[int, int], levels: IntArray) -> None:
    for level in Level:
        counts[level] += int((levels == level).sum())
