"""The retrieval of queries for an item: candidates, their figures, and the weights that are fitted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.title_pairs.retrieval import FIGURES, START, Candidates, Retrieval, best_queries, fit_weights
from evaluation.baselines import TitleNeighbours
from evaluation.inputs import TitledQuery

AXES = ("tent", "lamp", "mat")


class WordEmbedder:
    """A dimension for each of three words."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.array([[word in text for word in AXES] for text in texts], np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    embed_queries = embed


STORE = [
    TitledQuery("red tent", "tent", "1"),
    TitledQuery("red tent", "big tent", "1"),
    TitledQuery("blue tent", "tent", "2"),
    TitledQuery("desk lamp", "lamp", "3"),
]


@pytest.fixture
def retrieval() -> Retrieval:
    return Retrieval(STORE, WordEmbedder(), TitleNeighbours(STORE))


def figures_of(candidates: Candidates, row: int) -> dict[str, dict[str, float]]:
    return {
        candidates.queries[place]: dict(zip(FIGURES, candidates.figures[row, column].tolist(), strict=True))
        for column, place in enumerate(candidates.places[row])
        if place >= 0
    }


def test_a_candidate_has_its_figures_from_the_pairs_of_other_items(retrieval: Retrieval) -> None:
    found = figures_of(retrieval.candidates([TitledQuery("green tent", "tent", "9")]), 0)
    assert set(found) == {"tent", "big tent"} | set(found) & {"lamp"}
    assert found["tent"]["cosine"] == pytest.approx(1)
    assert found["tent"]["popularity"] == pytest.approx(np.log(3))
    assert found["tent"]["nearest_titles"] == pytest.approx(np.log(2 / 3 + 0.001))
    assert found["big tent"]["nearest_titles"] == pytest.approx(np.log(1 / 3 + 0.001))
    assert found["tent"]["tfidf"] > found["big tent"]["tfidf"]
    assert found["tent"]["wording"] > found["big tent"]["wording"] > 0


def test_the_pairs_of_the_own_item_do_not_count(retrieval: Retrieval) -> None:
    found = figures_of(retrieval.candidates([STORE[0]]), 0)
    assert "big tent" not in found
    assert found["tent"]["popularity"] == pytest.approx(np.log(2))
    assert found["tent"]["nearest_titles"] == pytest.approx(np.log(1 + 0.001), abs=1e-6)


def test_pairs_of_one_item_have_the_same_candidates(retrieval: Retrieval) -> None:
    found = retrieval.candidates([STORE[0], STORE[3], STORE[1]])
    assert figures_of(found, 0) == figures_of(found, 2)
    assert figures_of(found, 0) != figures_of(found, 1)


def pool(figures: list[list[list[float]]], places: list[list[int]]) -> Candidates:
    return Candidates(["a", "b", "c"], np.array(places, np.int32), np.array(figures, np.float32))


def test_the_weights_are_those_of_a_conditional_logit() -> None:
    """Two candidates that differ by one in the popularity; the more popular one is right in three of four pairs.

    So the odds are three to one, and without a prior the weight is log 3. 4,000 pairs make the prior small.
    """
    found = pool([[[0.5, 1, 0, 0, 0], [0.5, 0, 0, 0, 0]]] * 4000, [[0, 1]] * 4000)
    weights = fit_weights(found, ["a", "a", "b", "a"] * 1000)
    assert weights[1] == pytest.approx(np.log(3), abs=0.01)
    np.testing.assert_allclose(weights[[0, 2, 3, 4]], START[[0, 2, 3, 4]], rtol=1e-3)  # they say nothing of the target


def test_figures_that_are_not_named_have_no_weight() -> None:
    weights = fit_weights(pool([[[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]], [[0, 1]]), ["a"], ("cosine",))
    assert weights[0] > 0
    assert weights[1:].tolist() == [0, 0, 0, 0]


def test_pairs_whose_target_is_no_candidate_change_nothing() -> None:
    found = pool([[[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]], [[0, 1]])
    np.testing.assert_allclose(fit_weights(found, ["c"]), START)
    np.testing.assert_allclose(fit_weights(found, ["unknown"]), START)


def test_the_best_come_first_and_fillings_never() -> None:
    found = pool([[[1, 0, 0, 0, 0], [2, 0, 0, 0, 0], [9, 9, 9, 9, 9]]], [[0, 2, -1]])
    assert best_queries(found, START, 8) == [["c", "a"]]
    assert best_queries(found, START, 1) == [["c"]]
