"""Anchors of the pairs by retrieval, with an embedder that is trained on the train pairs.

An embedder knows the pairs that it was trained on. It would find the target of a train pair more often than that of a
dev pair, and a generator would learn to trust such anchors too much. So the anchors of a train pair come from an
embedder that was trained without the pairs of its item: the items are dealt into folds, and each fold has an embedder
that was trained on the other folds. The anchors of validation and dev pairs come from an embedder of all train pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.title_pairs.embedder import Recipe, train_embedder
from benchmarks.title_pairs.examples import ANCHORS
from benchmarks.title_pairs.pairs import Split
from benchmarks.title_pairs.ranking import Shortlist, Words, best_by_trees, joined, shortlist, train_trees
from benchmarks.title_pairs.retrieval import FIGURES, Retrieval, TextEmbedder, Weights, best_queries, fit_weights
from evaluation.baselines import TitleNeighbours
from evaluation.inputs import TitledQuery

FOLDS = 3
TFIDF, FUSED, RANKED = "tfidf", "fused", "ranked"
SYSTEMS = {"embedder": FIGURES[:3], FUSED: FIGURES}
"""The figures that the score of each system uses."""
KINDS = (TFIDF, *SYSTEMS, RANKED)
"""Whose queries anchors can be; `ranked` has the candidates of `fused`, in the order of trees (`ranking`)."""

Lists = list[list[str]]
Trees = list[HistGradientBoostingClassifier]


@dataclass(frozen=True, slots=True)
class Trained:
    """An embedder of all train pairs, and the weights of each system, fitted on the validation pairs."""

    embedder: TextEmbedder
    weights: dict[str, Weights]

    def facts(self) -> dict[str, dict[str, float]]:
        """Return the weights as plain values, by system and figure."""
        return {
            system: {name: round(float(value), 3) for name, value in zip(FIGURES, values, strict=True) if value}
            for system, values in self.weights.items()
        }


def train(split: Split, recipe: Recipe, systems: Mapping[str, Sequence[str]] = SYSTEMS) -> Trained:
    """Train an embedder on the train pairs and fit the weights of each system.

    Args:
        split: of the train pairs.
        recipe: how the embedder is made.
        systems: the figures that the score of each system uses.
    """
    embedder = train_embedder(split, split.train, recipe)
    known = known_pairs(split)
    found = Retrieval(known, embedder, TitleNeighbours(known)).candidates(split.valid)
    targets = [pair.query for pair in split.valid]
    return Trained(embedder, {name: fit_weights(found, targets, figures) for name, figures in systems.items()})


def training_anchors(
    kind: str, split: Split, trained: Trained, recipe: Recipe, folds: int = FOLDS
) -> tuple[Lists, Lists]:
    """Return the anchors of the train pairs and of the validation pairs; no held-out query is among them.

    Args:
        kind: TFIDF, or a system of `trained`.
        split: of the train pairs.
        trained: on them.
        recipe: how the embedder of each fold is made.
        folds: how many.
    """
    known = known_pairs(split)
    tfidf = TitleNeighbours(known)
    if kind == TFIDF:
        return tfidf_queries(tfidf, split.train, ANCHORS), tfidf_queries(tfidf, split.valid, ANCHORS)
    weights = {kind: trained.weights[kind]}
    valid = retrieve(Retrieval(known, trained.embedder, tfidf), split.valid, weights, ANCHORS)[kind]
    train_lists: Lists = [[] for _ in split.train]
    for own, store in _fold_stores(split, tfidf, recipe, folds):
        answers = retrieve(store, [split.train[row] for row in own], weights, ANCHORS)[kind]
        for row, answer in zip(own, answers, strict=True):
            train_lists[row] = answer
    return train_lists, valid


def ranked_training_anchors(
    split: Split, trained: Trained, recipe: Recipe, folds: int = FOLDS
) -> tuple[Trees, Lists, Lists]:
    """Return the trees of each fold, and with them what `training_anchors` returns.

    Raises:
        InputError: retrieval finds no target of the train pairs.
    """
    known = known_pairs(split)
    tfidf = TitleNeighbours(known)
    retrieval = Retrieval(known, trained.embedder, tfidf)
    words = Words(known, retrieval.queries)  # the stores of the folds have the same pairs
    found: list[tuple[npt.NDArray[np.int64], Shortlist]] = []
    for own, store in _fold_stores(split, tfidf, recipe, folds):
        asked = [split.train[row] for row in own]
        found.append((own, shortlist(store, asked, trained.weights[FUSED], words)))
    models: Trees = []
    train_lists: Lists = [[] for _ in split.train]
    for own, ranked in found:
        others = [(rows, part) for rows, part in found if rows is not own]
        targets = [split.train[row].query for rows, _ in others for row in rows]
        model = train_trees(joined([part for _, part in others]), retrieval.queries, targets, recipe.seed)
        for row, answer in zip(own, best_by_trees(ranked, retrieval.queries, [model], ANCHORS), strict=True):
            train_lists[row] = answer
        models.append(model)
    return models, train_lists, rank(retrieval, known, split.valid, trained, models, ANCHORS)


def rank(
    store: Retrieval,
    known: Sequence[TitledQuery],
    pairs: Sequence[TitledQuery],
    trained: Trained,
    models: Trees,
    count: int,
) -> Lists:
    """Return up to `count` queries for each pair, by the trees.

    Args:
        store: that is asked.
        known: the pairs that it has.
        pairs: outside the training of the trees.
        trained: its weights of `fused` choose the candidates.
        models: of all folds.
        count: the most queries of a pair.
    """
    found = shortlist(store, pairs, trained.weights[FUSED], Words(known, store.queries))
    return best_by_trees(found, store.queries, models, count)


def _fold_stores(
    split: Split, tfidf: TitleNeighbours, recipe: Recipe, folds: int
) -> Iterator[tuple[npt.NDArray[np.int64], Retrieval]]:
    """Yield the rows of the train pairs of each fold, and a store whose embedder has not seen their items."""
    known = known_pairs(split)
    fold_of = item_folds(split.train, folds, recipe.seed)
    for fold in range(folds):
        others = [split.train[row] for row in np.flatnonzero(fold_of != fold)]
        yield np.flatnonzero(fold_of == fold), Retrieval(known, train_embedder(split, others, recipe), tfidf)


def item_folds(pairs: Sequence[TitledQuery], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return int64 [pairs], the fold of each; all pairs of an item have the same."""
    items = sorted({pair.item for pair in pairs})
    dealt = dict(zip(items, np.random.default_rng(seed).permutation(len(items)) % folds, strict=True))
    return np.array([dealt[pair.item] for pair in pairs], np.int64)


def retrieve(
    store: Retrieval, pairs: Sequence[TitledQuery], weights: Mapping[str, Weights], count: int
) -> dict[str, Lists]:
    """Return up to `count` queries for each pair by each system."""
    found: dict[str, Lists] = {system: [] for system in weights}
    for _, candidates in store.in_parts(pairs):
        for system, values in weights.items():
            found[system] += best_queries(candidates, values, count)
    return found


def tfidf_queries(store: TitleNeighbours, pairs: Sequence[TitledQuery], count: int) -> Lists:
    """Return up to `count` queries for each pair by the title baseline, without the pairs of its own item."""
    return store.predict_titles([pair.title for pair in pairs], [pair.item for pair in pairs], count)


def share_with_target(pairs: Sequence[TitledQuery], anchors: Sequence[Sequence[str]]) -> float:
    """Return the share of pairs whose target is one of their anchors."""
    return round(float(np.mean([pair.query in found for pair, found in zip(pairs, anchors, strict=True)])), 4)


def known_pairs(split: Split) -> list[TitledQuery]:
    """Return the pairs that sources of training and validation are made of: without those of held-out queries."""
    return [*split.train, *split.valid]
