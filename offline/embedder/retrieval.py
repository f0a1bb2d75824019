"""Recall@k and MRR of an embedder on the pairs of held-out days, by relation.

The left text of a pair is the query of the search; its right text is ranked among all videos that have a text, or all
queries of the logs. Texts that are equally near share their mean rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from offline.arrays import BoolArray, FloatArray, Matrix
from offline.embedder.relations import FROM_VIDEO, TO_VIDEO, Pairs, Relations
from offline.embedder.vectors import Embedder

RECALL_AT = (1, 10, 100)
_ROWS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The pairs of one relation that an embedder is measured on.

    Attributes:
        pairs: at most as many as asked for, drawn at random.
        unseen: bool[n], the pairs that no earlier day has.
    """

    pairs: Pairs
    unseen: BoolArray


def held_out_pairs(relations: Relations, day: int, most: int, seed: int) -> dict[str, HeldOut]:
    """Return pairs of one day by relation; a relation without any is left out."""
    found = {}
    for name, events in relations.events.items():
        pairs = events.pairs(day, day + 1)
        if not len(pairs):
            continue
        chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:most])
        pairs = Pairs(pairs.left[chosen], pairs.right[chosen], pairs.count[chosen])
        past = events.pairs(0, day)
        size = max(len(relations.right_texts(name)), 1)
        unseen = ~np.isin(pairs.left * size + pairs.right, past.left * size + past.right)
        found[name] = HeldOut(pairs, unseen)
    return found


def measure(relations: Relations, held_out: dict[str, HeldOut], embedder: Embedder) -> dict[str, Any]:
    """Return pairs, recall and MRR by relation, of all pairs and of the unseen ones."""
    videos = embedder.embed(relations.video_texts)
    queries = embedder.embed_queries(relations.query_texts)
    has_text = np.array([bool(text) for text in relations.video_texts], bool)
    report = {}
    for name, held in held_out.items():
        left = videos if name in FROM_VIDEO else queries
        right, usable = (videos, has_text) if name in TO_VIDEO else (queries, np.ones(len(queries), bool))
        ranks = mean_ranks(left, right, held.pairs, usable)
        report[name] = {"all": _figures(ranks), "unseen": _figures(ranks[held.unseen])}
    return report


def mean_ranks(left: Matrix, right: Matrix, pairs: Pairs, usable: BoolArray) -> FloatArray:
    """Return float32 [n], the rank of each pair's right text among the usable ones, from 1.

    Args:
        left: float32 [texts, d].
        right: float32 [texts, d], the candidates.
        pairs: whose ranks are wanted.
        usable: bool, which rows of `right` are candidates.
    """
    candidates = np.flatnonzero(usable)
    place = np.cumsum(usable) - 1  # row of `right` to its place among the candidates
    ranks = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        similarity = left[pairs.left[part]] @ right[candidates].T  # [part, candidates]
        target = place[pairs.right[part]]
        own = np.take_along_axis(similarity, target[:, None], axis=1)
        above, equal = (similarity > own).sum(axis=1), (similarity == own).sum(axis=1)
        ranks[part] = 1 + above + (equal - 1) / 2
    return ranks


def _figures(ranks: FloatArray) -> dict[str, float | int]:
    figures: dict[str, float | int] = {"pairs": len(ranks)}
    if len(ranks):
        figures |= {f"recall@{k}": round(float((ranks <= k).mean()), 4) for k in RECALL_AT}
        figures["mrr"] = round(float((1 / ranks).mean()), 4)
    return figures
