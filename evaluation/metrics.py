"""The offline metrics of the paper (5.1), each of one example and its first eight predictions.

Strings are compared in their normal form: cleaned (evidence.cleaning) and case-folded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from evidence.cleaning import clean_query

CUTOFF = 8
METRICS = ("hr", "mrr", "ed_hr", "ed", "bleu")
"""Exact hit rate, reciprocal rank, hit rate within an edit distance of 2, least edit distance, best sentence BLEU."""

EDIT_TOLERANCE = 2
_BLEU_ORDER = 4

Scores = npt.NDArray[np.float64]


@lru_cache(maxsize=1 << 17)
def normal_form(query: str) -> str:
    """The form in which two queries are the same one."""
    return clean_query(query).casefold()


def distinct(queries: Iterable[str]) -> list[str]:
    """The queries without empty ones and repetitions of a normal form, order kept."""
    kept: dict[str, str] = {}
    for query in queries:
        form = normal_form(query)
        if form:
            kept.setdefault(form, query)
    return list(kept.values())


def score(predictions: Sequence[str], target: str) -> tuple[float, float, float, float, float]:
    """The values of METRICS for one example.

    Without any prediction, as when the bar stays empty, hits and BLEU are 0 and the edit distance is the length of
    the target: everything is still to be typed.
    """
    wanted = normal_form(target)
    ranked = [normal_form(query) for query in predictions[:CUTOFF]]
    if wanted in ranked:
        return 1.0, 1.0 / (1 + ranked.index(wanted)), 1.0, 0.0, 1.0
    distance = min(map(EditDistances(wanted), ranked), default=len(wanted))
    near = float(distance <= EDIT_TOLERANCE and bool(ranked))
    bleu = max((sentence_bleu(query, wanted) for query in ranked), default=0.0)
    return 0.0, 0.0, near, float(distance), bleu


def score_all(predictions: Sequence[Sequence[str]], targets: Sequence[str]) -> Scores:
    """float64 [n, len(METRICS)]."""
    return np.array([score(p, t) for p, t in zip(predictions, targets, strict=True)]).reshape(-1, len(METRICS))


class EditDistances:
    """Levenshtein distance of many strings to one, counted in characters.

    Myers' bit-parallel algorithm in the form of Hyyrö (2003): a column of the matrix is two integers, so that one
    distance takes as many steps as the other string has characters.
    """

    def __init__(self, target: str) -> None:
        self._length = len(target)
        self._where: dict[str, int] = {}
        for place, character in enumerate(target):
            self._where[character] = self._where.get(character, 0) | 1 << place

    def __call__(self, other: str) -> int:
        """The distance of `other` to the target."""
        if not self._length:
            return len(other)
        full = (1 << self._length) - 1
        last = 1 << (self._length - 1)
        rises, falls, distance = full, 0, self._length
        for character in other:
            equal = self._where.get(character, 0)
            diagonal = equal | falls
            across = (((equal & rises) + rises) ^ rises) | equal
            up = falls | ~(across | rises) & full
            down = rises & across
            if up & last:
                distance += 1
            elif down & last:
                distance -= 1
            up = (up << 1 | 1) & full
            rises = (down << 1 | ~(diagonal | up)) & full
            falls = up & diagonal
        return distance


def sentence_bleu(query: str, target: str) -> float:
    """BLEU of one short string against one reference (Papineni et al., 2002).

    N-grams up to 4, or up to the shorter of the two; counts of orders over 1 are smoothed by one (Lin and Och, 2004),
    because a query of three words has hardly any 4-grams. Words are split at spaces; a character of a script without
    spaces is a word.
    """
    words, reference = _words(query), _words(target)
    if not words or not reference:
        return 0.0
    orders = min(_BLEU_ORDER, len(words), len(reference))
    total = 0.0
    for order in range(1, orders + 1):
        found, known = _grams(words, order), _grams(reference, order)
        matches = sum(min(count, known[gram]) for gram, count in found.items())
        possible = len(words) - order + 1
        if order == 1 and matches == 0:
            return 0.0
        smoothing = int(order > 1)
        total += math.log((matches + smoothing) / (possible + smoothing))
    brevity = min(0.0, 1.0 - len(reference) / len(words))
    return math.exp(brevity + total / orders)


@lru_cache(maxsize=1 << 16)
def _words(text: str) -> tuple[str, ...]:
    spaced = "".join(f" {character} " if character >= "\u2e80" else character for character in text)
    return tuple(spaced.split())


def _grams(words: tuple[str, ...], order: int) -> Counter[tuple[str, ...]]:
    return Counter(words[start : start + order] for start in range(len(words) - order + 1))
