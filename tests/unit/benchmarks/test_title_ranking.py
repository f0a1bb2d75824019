"""The learned ranking of candidates: their features, the trees, and what the trees of a fold have seen."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.title_pairs import anchors
from benchmarks.title_pairs.anchors import FUSED, Trained, ranked_training_anchors
from benchmarks.title_pairs.embedder import HASHED, Recipe
from benchmarks.title_pairs.pairs import Split, split_training
from benchmarks.title_pairs.ranking import (
    FEATURES,
    RANKED_CANDIDATES,
    Shortlist,
    Words,
    best_by_trees,
    joined,
    shortlist,
    train_trees,
)
from benchmarks.title_pairs.retrieval import START, Retrieval
from evaluation.baselines import TitleNeighbours
from evaluation.errors import InputError
from evaluation.inputs import TitledQuery
from evidence.embedder import HashedEmbedder

KNOWN = [
    TitledQuery("red tent", "tent", "1"),
    TitledQuery("blue tent", "big tent", "2"),
    TitledQuery("blue tent", "!", "3"),  # a query without a word
]
QUERIES = ["!", "big tent", "tent"]


def shop(count: int) -> list[TitledQuery]:
    """Items of forty things; the query of each is its thing."""
    things = [f"{name}{number}" for name in ("tent", "lamp", "mat", "chair") for number in range(10)]
    return [TitledQuery(f"{things[n % 40]} no {n}", things[n % 40], str(n)) for n in range(count)]


def store_of(pairs: Sequence[TitledQuery]) -> Retrieval:
    return Retrieval(pairs, HashedEmbedder(), TitleNeighbours(pairs))


def test_the_features_of_words_are_counted_by_hand() -> None:
    """Two different titles: tent stands in both (weight 0), red and blue in one (log 3/2), big in none (log 3)."""
    found = Words(KNOWN, QUERIES).columns("red tent", np.array([2, 1, 0], np.int32))
    columns = [dict(zip(FEATURES[-10:], row.tolist(), strict=True)) for row in found]
    votes = 1 + 1 / 2 + 1 / 3
    assert columns[0] == pytest.approx(
        {
            "words": 1,
            "words_in_title": 1,
            "weight_in_title": 0,
            "weight_share_in_title": 0,
            "weight_missing": 0,
            "heaviest_missing": 0,
            "mean_agreement": 1.5 / votes,
            "least_agreement": 1.5 / votes,
            "rarest_word": log(3),
            "characters": 4,
        },
        abs=1e-6,
    )
    assert columns[1] == pytest.approx(
        {
            "words": 2,
            "words_in_title": 0.5,
            "weight_in_title": 0,
            "weight_share_in_title": 0,
            "weight_missing": log(3),
            "heaviest_missing": log(3),
            "mean_agreement": (1.5 + 0.5) / 2 / votes,
            "least_agreement": 0.5 / votes,
            "rarest_word": log(2),
            "characters": 8,
        },
        abs=1e-6,
    )
    assert columns[2]["words"] == 1


def test_a_shortlist_has_the_candidates_in_the_order_of_retrieval() -> None:
    pairs = shop(80)
    store = store_of(pairs)
    found = shortlist(store, pairs[:3], START, Words(pairs, store.queries))
    assert found.places.shape == (3, RANKED_CANDIDATES)
    assert found.features.shape == ((found.places >= 0).sum(), len(FEATURES))
    behind = found.features[:, FEATURES.index("score")]
    firsts = np.flatnonzero(found.features[:, FEATURES.index("rank")] == 0)
    assert behind[firsts].tolist() == [0, 0, 0]
    for part in np.split(behind, firsts[1:]):
        assert (np.diff(part) <= 0).all()


def test_pairs_without_a_candidate_have_empty_rows() -> None:
    store = store_of([TitledQuery("tent", "tent", "1")])
    found = shortlist(
        store, [TitledQuery("tent", "tent", "1")], START, Words([TitledQuery("tent", "tent", "1")], ["tent"])
    )
    assert (found.places == -1).all()
    assert best_by_trees(found, store.queries, [], 8) == [[]]


def test_trees_put_a_candidate_first_that_retrieval_puts_second() -> None:
    """The right one has the lower score and its words in the title: no weight of the score alone can say that."""
    rng = np.random.default_rng(3)
    features = np.zeros((4000, len(FEATURES)), np.float32)
    features[:, FEATURES.index("rank")] = np.tile([0, 1], 2000)
    right = rng.permuted(np.tile([[0.0, 1.0]], (2000, 1)), axis=1)
    features[:, FEATURES.index("words_in_title")] = right.ravel()
    places = np.full((2000, RANKED_CANDIDATES), -1, np.int32)
    places[:, :2] = [0, 1]
    targets = ["b" if second else "a" for second in right[:, 1]]
    model = train_trees(Shortlist(places, features), ["a", "b"], targets, seed=1)
    found = best_by_trees(Shortlist(places, features), ["a", "b"], [model], 8)
    assert [answer[0] for answer in found] == targets
    assert all(sorted(answer) == ["a", "b"] for answer in found)


def test_without_a_target_among_the_candidates_nothing_can_be_learnt() -> None:
    places = np.array([[0, -1]], np.int32)
    with pytest.raises(InputError, match="never finds the query of a train pair"):
        train_trees(Shortlist(places, np.zeros((1, len(FEATURES)), np.float32)), ["a"], ["b"], seed=1)


def test_the_trees_of_a_train_pair_have_not_seen_its_item(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = shop(120)
    split = Split(train=pairs[:100], valid=pairs[100:], held_out=frozenset())
    taught: list[list[str]] = []
    ranked: list[tuple[int, Sequence[HistGradientBoostingClassifier]]] = []

    def note_training(
        found: Shortlist, queries: Sequence[str], targets: Sequence[str], seed: int
    ) -> HistGradientBoostingClassifier:
        assert len(found.places) == len(targets)
        taught.append(list(targets))
        return train_trees(found, queries, targets, seed)

    def note_ranking(
        found: Shortlist, queries: Sequence[str], models: Sequence[HistGradientBoostingClassifier], count: int
    ) -> list[list[str]]:
        ranked.append((len(found.places), models))
        return best_by_trees(found, queries, models, count)

    monkeypatch.setattr(anchors, "train_trees", note_training)
    monkeypatch.setattr(anchors, "best_by_trees", note_ranking)
    trained = Trained(HashedEmbedder(), {FUSED: START})
    recipe = Recipe(kind=HASHED)
    models, train_lists, valid_lists = ranked_training_anchors(split, trained, recipe, folds=2)
    fold_of = anchors.item_folds(split.train, 2, recipe.seed)
    for fold in (0, 1):
        others = [pair.query for pair, own in zip(split.train, fold_of, strict=True) if own != fold]
        assert taught[fold] == others
        assert ranked[fold] == (100 - len(others), [models[fold]])
    assert ranked[2] == (20, models)  # the validation pairs: all trees
    assert len(train_lists) == 100
    assert np.mean([pair.query in found for pair, found in zip(split.valid, valid_lists, strict=True)]) > 0.9


def test_no_held_out_query_is_an_anchor_of_training() -> None:
    pairs = shop(200)
    split = split_training(pairs, 0.2, seed=1)
    _, *lists = ranked_training_anchors(split, Trained(HashedEmbedder(), {FUSED: START}), Recipe(kind=HASHED))
    found = {query for answers in lists for answer in answers for query in answer}
    assert found
    assert not found & split.held_out


def test_shortlists_are_joined_in_order() -> None:
    one = Shortlist(np.array([[1, -1]], np.int32), np.ones((1, len(FEATURES)), np.float32))
    two = Shortlist(np.array([[2, 0]], np.int32), np.zeros((2, len(FEATURES)), np.float32))
    both = joined([one, two])
    assert both.places.tolist() == [[1, -1], [2, 0]]
    assert both.features[:, 0].tolist() == [1, 0, 0]
