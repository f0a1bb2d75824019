"""Work in parts: the evidence of a large shop takes the memory of a part, and is the same as if made at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from offline.arrays import Matrix
from offline.embedder import vectors as video_vectors
from offline.embedder.vectors import video_texts
from offline.evidence import anchor_search, intent, nearest, store_rows
from offline.evidence.anchor_search import anchors_of, open_search
from offline.evidence.anchors import AnchorSettings
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.intent import item_intent
from offline.evidence.nearest import FLAT, HNSW, IVF_PQ, NearestVectors
from offline.evidence.ranked import RankedQueries
from offline.evidence.store_rows import evidence_parts, evidence_table, user_parts, user_table, write_rows

SETTINGS = [AnchorSettings(), AnchorSettings(similarity_threshold=0.9, query_weight=0.4, query_threshold=0.3)]


def anchors(shop: EmbeddedLogs, settings: AnchorSettings) -> RankedQueries:
    photos = np.arange(shop.logs.num_photos)
    search = open_search(shop.logs, shop.video_vectors, shop.query_vectors, 6, settings, shop.has_intent(6))
    return anchors_of(search, photos)


def same(one: RankedQueries, other: RankedQueries) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("offsets", "queries", "weights"))


@pytest.mark.parametrize("settings", SETTINGS)
def test_anchors_do_not_depend_on_how_many_videos_are_searched_together(
    busy_logs: EmbeddedLogs, settings: AnchorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = anchors(busy_logs, settings)
    assert whole.lengths.sum() > 0
    monkeypatch.setattr(anchor_search, "_VIDEOS_AT_ONCE", 7)
    assert same(anchors(busy_logs, settings), whole)


@pytest.mark.parametrize("settings", SETTINGS)
def test_candidates_under_the_thresholds_are_not_read_and_change_nothing(
    busy_logs: EmbeddedLogs, settings: AnchorSettings
) -> None:
    photos = np.arange(busy_logs.logs.num_photos)
    usable = busy_logs.has_intent(6)
    search = open_search(busy_logs.logs, busy_logs.video_vectors, busy_logs.query_vectors, 6, settings, usable)
    every = search.candidates(photos)
    some = search.candidates(photos, (settings.similarity_threshold, settings.query_threshold))
    assert every.by_videos is not None
    assert some.by_videos is not None
    assert 0 < len(some.by_videos.owner) < len(every.by_videos.owner)
    assert same(some.choose(settings), every.choose(settings))


def test_evidence_in_parts_has_the_rows_of_the_whole(
    busy_logs: EmbeddedLogs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence, users = evidence_table(busy_logs, 6), user_table(busy_logs, 6)
    monkeypatch.setattr(store_rows, "_ROWS_AT_ONCE", 9)
    assert write_rows(evidence_parts(busy_logs, 6), tmp_path / "evidence.parquet") == evidence.num_rows
    assert write_rows(user_parts(busy_logs, 6), tmp_path / "users.parquet") == users.num_rows
    for name, whole in (("evidence", evidence), ("users", users)):
        file = pq.ParquetFile(tmp_path / f"{name}.parquet")
        assert file.metadata.num_row_groups == -(-whole.num_rows // 9)
        assert file.read().equals(whole)


def test_a_shop_without_rows_gives_an_empty_file(busy_logs: EmbeddedLogs, tmp_path: Path) -> None:
    assert write_rows(evidence_parts(busy_logs, 6, np.zeros(0, np.int64)), tmp_path / "none.parquet") == 0
    assert pq.read_table(tmp_path / "none.parquet").schema == evidence_table(busy_logs, 6).schema


def test_intent_is_learnt_in_parts(busy_logs: EmbeddedLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    def learnt() -> object:
        return item_intent(busy_logs.logs, busy_logs.query_vectors, 6, busy_logs.settings.intent)

    whole = learnt()
    monkeypatch.setattr(intent, "_ROWS_AT_ONCE", 5)
    np.testing.assert_allclose(learnt(), whole, atol=1e-6)


def test_texts_of_videos_are_read_in_parts(busy_logs: EmbeddedLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = video_texts(busy_logs.logs.videos)
    monkeypatch.setattr(video_vectors, "_VIDEOS_AT_ONCE", 7)
    assert video_texts(busy_logs.logs.videos) == whole


@pytest.fixture
def points() -> Matrix:
    """Five hundred unit vectors."""
    drawn = np.random.default_rng(3).normal(size=(500, 16)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", [FLAT, HNSW])
def test_an_index_of_some_rows_is_that_of_their_copy(points: Matrix, kind: str) -> None:
    rows = np.arange(0, 500, 3)
    found = NearestVectors(points, rows, kind).search(points[:9], 4)
    copied = NearestVectors(points[rows], kind=kind).search(points[:9], 4)
    np.testing.assert_array_equal(found.places, copied.places)
    np.testing.assert_array_equal(found.similarity, copied.similarity)


def test_a_compressed_index_of_some_rows_answers_with_their_places(points: Matrix) -> None:
    rows = np.arange(0, 500, 3)
    found = NearestVectors(points, rows, IVF_PQ).search(points[rows[:9]], 4)
    assert found.places[:, 0].tolist() == list(range(9))
    exact = np.einsum("nd,nkd->nk", points[rows[:9]], points[rows[found.places]])
    np.testing.assert_allclose(found.similarity, exact, atol=1e-5)


@pytest.mark.parametrize("dimension", [7, 15, 10])
def test_any_dimension_can_be_compressed(dimension: int) -> None:
    drawn = np.random.default_rng(4).normal(size=(400, dimension)).astype(np.float32)
    found = NearestVectors(drawn, kind=IVF_PQ).search(drawn[:3], 2)
    exact = np.einsum("nd,nkd->nk", drawn[:3], drawn[found.places])
    np.testing.assert_allclose(found.similarity, exact, rtol=1e-5)


def test_recall_compares_with_the_exact_order_in_parts(points: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    index = NearestVectors(points, kind=HNSW)
    whole = index.recall(points[:50], 10)
    monkeypatch.setattr(nearest, "_ROWS_AT_ONCE", 64)
    assert index.recall(points[:50], 10) == whole > 0.5
    exact = NearestVectors(points, kind=FLAT).search(points[:50], 10).places
    assert np.array_equal(np.sort(index._exact(points[:50], 10)), np.sort(exact))
