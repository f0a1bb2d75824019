"""The offline metrics of the paper (5.1), each for one example and its first eight predictions.

Strings are compared in their normal form: cleaned (evidence.cleaning) and case-folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics.bleu import BLEU

from evidence.cleaning import clean_query

CUTOFF = 8
METRICS = ("hr", "mrr", "ed_hr", "ed", "bleu")
"""Exact hit rate, reciprocal rank, hit rate within an edit distance of 2, smallest edit distance, best BLEU."""

EDIT_TOLERANCE = 2
_BLEU = BLEU(effective_order=True, tokenize="zh")

Scores = npt.NDArray[np.float64]


@lru_cache(maxsize=1 << 17)
def normal_form(query: str) -> str:
    """Return the form by which queries are compared."""
    return clean_query(query).casefold()


def distinct(queries: Iterable[str]) -> list[str]:
    """Return the queries without empty ones and without repetitions of a normal form, in order."""
    kept: dict[str, str] = {}
    for query in queries:
        form = normal_form(query)
        if form:
            kept.setdefault(form, query)
    return list(kept.values())


def score(predictions: Sequence[str], target: str) -> tuple[float, float, float, float, float]:
    """Return the values of METRICS for one example.

    Without any prediction (an empty bar), hits and BLEU are 0, and the edit distance is the length of the target: all
    of it is still to be typed.
    """
    wanted = normal_form(target)
    ranked = [normal_form(query) for query in predictions[:CUTOFF]]
    if wanted in ranked:
        return 1.0, 1.0 / (1 + ranked.index(wanted)), 1.0, 0.0, 1.0
    distance = min((Levenshtein.distance(query, wanted) for query in ranked), default=len(wanted))
    near = float(distance <= EDIT_TOLERANCE and bool(ranked))
    bleu = max((sentence_bleu(query, wanted) for query in ranked), default=0.0)
    return 0.0, 0.0, near, float(distance), bleu


def score_all(predictions: Sequence[Sequence[str]], targets: Sequence[str]) -> Scores:
    """Return float64 [n, len(METRICS)], the scores of n examples."""
    return np.array([score(p, t) for p, t in zip(predictions, targets, strict=True)]).reshape(-1, len(METRICS))


def sentence_bleu(query: str, target: str) -> float:
    """Return the sentence BLEU of a query against a target, 0 to 1, as sacrebleu defines it.

    N-grams up to 4, or up to the length of the query; exponential smoothing of orders without a match; a character is a
    word in Chinese.
    """
    return float(_BLEU.sentence_score(query, [target]).score) / 100
