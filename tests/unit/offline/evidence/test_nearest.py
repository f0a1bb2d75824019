"""The index of nearest vectors: the same answers from every kind, as far as it is exact."""

from __future__ import annotations

import numpy as np
import pytest

from offline.arrays import Matrix
from offline.evidence.nearest import FLAT, HNSW, IVF_PQ, NearestVectors, index_kind


@pytest.fixture(scope="module")
def vectors() -> Matrix:
    """Two thousand unit vectors around fifty centres."""
    generator = np.random.default_rng(11)
    centres = generator.normal(size=(50, 32))
    points = (centres[np.arange(2000) % 50] + 0.4 * generator.normal(size=(2000, 32))).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def indexes(vectors: Matrix) -> dict[str, NearestVectors]:
    """Return an index of each kind; training IVF-PQ takes seconds."""
    return {kind: NearestVectors(vectors, kind=kind) for kind in (FLAT, HNSW, IVF_PQ)}


def test_the_kind_follows_the_number_of_vectors() -> None:
    assert [index_kind(count) for count in (0, 50_000, 50_001, 1_000_000, 1_000_001)] == [
        FLAT,
        FLAT,
        HNSW,
        HNSW,
        IVF_PQ,
    ]


@pytest.mark.parametrize("kind", [FLAT, HNSW, IVF_PQ])
def test_similarities_are_exact_and_in_falling_order(
    vectors: Matrix, indexes: dict[str, NearestVectors], kind: str
) -> None:
    found = indexes[kind].search(vectors[:20], 5)
    assert found.places.shape == (20, 5)
    assert found.places[:, 0].tolist() == list(range(20))
    exact = np.einsum("nd,nkd->nk", vectors[:20], vectors[found.places])
    np.testing.assert_allclose(found.similarity, exact, atol=1e-5)
    assert np.all(np.diff(found.similarity, axis=1) <= 1e-6)


@pytest.mark.parametrize(("kind", "least"), [(FLAT, 1.0), (HNSW, 0.95), (IVF_PQ, 0.9)])
def test_recall_against_the_exact_order_is_measured(
    vectors: Matrix, indexes: dict[str, NearestVectors], kind: str, least: float
) -> None:
    assert least <= indexes[kind].recall(vectors[:100], 10) <= 1.0


@pytest.mark.parametrize("kind", [FLAT, HNSW])
def test_fewer_vectors_than_asked_for_are_all_found(vectors: Matrix, kind: str) -> None:
    found = NearestVectors(vectors[:3], kind=kind).search(vectors[:1], 10)
    assert sorted(found.places[0].tolist()) == [0, 1, 2]
    assert NearestVectors(vectors[:0], kind=kind).search(vectors[:2], 10).places.shape == (2, 0)
    assert NearestVectors(vectors[:3], kind=kind).search(vectors[:0], 2).places.shape == (0, 2)
