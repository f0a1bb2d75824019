"""A learned ranking of the candidates of retrieval: gradient-boosted trees over their figures and their words.

The score of `retrieval` is a sum: it cannot say that a word which is not in the title weighs more in a short query, or
that a query is the better the more other candidates have its words. Trees can. They learn from the train pairs, which
need candidates of an embedder that has not seen their items (`anchors`), and a pair must not be ranked by trees that
have seen its item either. So there is one model for each fold, trained on the other folds; pairs outside training are
ranked by the mean of all models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse  # type: ignore[import-untyped]
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks.title_pairs.retrieval import (
    FIGURES,
    Retrieval,
    Vectors,
    Weights,
    are_targets,
    queries_at,
    ranked_places,
)
from evaluation.errors import InputError
from evaluation.inputs import TitledQuery
from evaluation.words import words_of

RANKED_CANDIDATES = 48
"""The candidates of a pair that the trees see: the best by the score of retrieval."""
FEATURES = (
    *FIGURES,
    "score",
    "rank",
    "words",
    "words_in_title",
    "weight_in_title",
    "weight_share_in_title",
    "weight_missing",
    "heaviest_missing",
    "mean_agreement",
    "least_agreement",
    "rarest_word",
    "characters",
)
"""Columns of a feature matrix: the figures of retrieval; its score below that of the best candidate, and its rank; the
different words of the query, and the share of them that stand in the title; their inverse document frequencies, in sum
in the title, as a share, and missing, in sum and the greatest; how many candidates, the better the heavier, have its
words, on average and the least of them; log(1 + queries with its rarest word); its characters."""

_TREES, _LEAVES, _RATE, _LEAF_ROWS = 300, 31, 0.06, 200
_NO_WORD = "(none)"

Places = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The candidates of n pairs that are ranked.

    Attributes:
        places: int32 [n, RANKED_CANDIDATES], in the queries of the store, best first by retrieval; -1 fills a row.
        features: float32 [m, len(FEATURES)], of all candidates in the order of the rows, without those that fill them.
    """

    places: Places
    features: Vectors


class Words:
    """The words of titles and queries: how rare they are in titles, and how many queries have them."""

    def __init__(self, known: Iterable[TitledQuery], queries: Sequence[str]) -> None:
        """Count words.

        Args:
            known: the pairs of the store; equal titles count once.
            queries: of the store, in the order of its places.
        """
        self._counter = CountVectorizer(analyzer=_words, binary=True, dtype=np.float32)
        different = list(dict.fromkeys(pair.title for pair in known))
        words = self._counter.fit_transform([*different, *queries]).tocsr()  # [titles + queries, words]
        documents = np.asarray(words[: len(different)].sum(axis=0)).ravel()
        self._weight = np.log((len(different) + 1) / (documents + 1))
        self._of_query: sparse.csr_matrix = words[len(different) :]
        self._queries_with = np.log1p(np.asarray(self._of_query.sum(axis=0)).ravel())
        self._characters = np.array([len(query) for query in queries], np.float32)

    def columns(self, title: str, places: Places) -> Vectors:
        """Return float32 [m, 10], the features of words of m candidates of a title, best first.

        Args:
            title: of the pair.
            places: int32 [m], m at least 1.
        """
        in_title = np.zeros(len(self._weight), bool)
        in_title[self._counter.transform([title]).indices] = True
        rows = self._of_query[places]
        word, start, counts = rows.indices, rows.indptr[:-1], np.diff(rows.indptr)
        weight, found = self._weight[word], in_title[word]
        votes = 1 / np.arange(1, len(places) + 1)
        agreement = np.bincount(word, np.repeat(votes, counts), len(in_title))[word] / votes.sum()
        known, missing = np.add.reduceat(weight * found, start), np.add.reduceat(weight * ~found, start)
        columns = (
            counts,
            np.add.reduceat(found, start, dtype=np.float64) / counts,
            known,
            known / np.maximum(known + missing, 1e-6),
            missing,
            np.maximum.reduceat(weight * ~found, start),
            np.add.reduceat(agreement, start) / counts,
            np.minimum.reduceat(agreement, start),
            np.minimum.reduceat(self._queries_with[word], start),
            self._characters[places],
        )
        return np.stack(columns, axis=1, dtype=np.float32)


def shortlist(store: Retrieval, pairs: Sequence[TitledQuery], weights: Weights, words: Words) -> Shortlist:
    """Return the best candidates of each pair by the score of retrieval, with their features.

    Args:
        store: that is asked.
        pairs: n pairs.
        weights: of the figures, which choose the candidates.
        words: of the store.
    """
    places = np.full((len(pairs), RANKED_CANDIDATES), -1, np.int32)
    parts = [np.zeros((0, len(FEATURES)), np.float32)]
    for start, candidates in store.in_parts(pairs):
        order, scores = ranked_places(candidates, weights, RANKED_CANDIDATES)
        chosen = np.take_along_axis(candidates.places, order, axis=1)
        places[start : start + len(chosen), : chosen.shape[1]] = chosen
        for row, count in enumerate((chosen >= 0).sum(axis=1)):
            if count:
                behind, ranks = scores[row, :count] - scores[row, 0], np.arange(count)
                figures = candidates.figures[row, order[row, :count]]
                columns = words.columns(pairs[start + row].title, chosen[row, :count])
                parts.append(np.column_stack([figures, behind, ranks, columns]).astype(np.float32))
    return Shortlist(places, np.concatenate(parts))


def joined(parts: Sequence[Shortlist]) -> Shortlist:
    """Return the pairs of all parts, in their order."""
    return Shortlist(np.concatenate([part.places for part in parts]), np.concatenate([part.features for part in parts]))


def train_trees(
    found: Shortlist, queries: Sequence[str], targets: Sequence[str], seed: int
) -> HistGradientBoostingClassifier:
    """Train on pairs: the target is positive, all other candidates of its pair are negative.

    Args:
        found: of n pairs.
        queries: of the store.
        targets: the right query of each pair.
        seed: of the training.

    Raises:
        InputError: no candidate is the target of its pair, or all are.
    """
    right = are_targets(found.places, queries, targets)[found.places >= 0]
    if not right.any() or right.all():
        raise InputError(
            "retrieval never finds the query of a train pair, so no ranking can be learnt; give more pairs"
        )
    model = HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        learning_rate=_RATE,
        min_samples_leaf=_LEAF_ROWS,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(found.features, right)


def best_by_trees(
    found: Shortlist, queries: Sequence[str], models: Sequence[HistGradientBoostingClassifier], count: int
) -> list[list[str]]:
    """Return up to `count` queries of each pair, best first by the mean probability of the models."""
    chances = np.full(found.places.shape, -np.inf)
    if len(found.features):
        chances[found.places >= 0] = np.mean([model.predict_proba(found.features)[:, 1] for model in models], axis=0)
    return queries_at(found.places, queries, np.argsort(-chances, axis=1, kind="stable")[:, :count])


def _words(text: str) -> tuple[str, ...]:
    return words_of(text) or (_NO_WORD,)
