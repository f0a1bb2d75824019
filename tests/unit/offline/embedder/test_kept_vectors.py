"""Vectors in a file: only new or changed texts are embedded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evidence.embedder import HashedEmbedder
from offline.arrays import Matrix
from offline.embedder.kept_vectors import KeptVectors


class Counting(HashedEmbedder):
    """The hashed embedder, which notes what it is asked for; queries are read in capitals."""

    def __init__(self, version: str = "a") -> None:
        self.version = version
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> Matrix:
        self.asked += texts
        return super().embed(texts)

    def embed_queries(self, queries: Sequence[str]) -> Matrix:
        return self.embed([f"find {query}" for query in queries])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept.parquet"


def test_a_text_is_embedded_once_and_again_only_when_it_changes(path: Path) -> None:
    first = KeptVectors(Counting(), path).embed(["kettle", "bike", "kettle"])
    inner = Counting()
    again = KeptVectors(inner, path).embed(["bike", "kettle", "red bike"])
    assert inner.asked == ["red bike"]
    np.testing.assert_array_equal(again[:2], first[[1, 0]])
    np.testing.assert_array_equal(again, HashedEmbedder().embed(["bike", "kettle", "red bike"]))


def test_a_query_and_a_video_of_the_same_text_have_vectors_of_their_own(path: Path) -> None:
    kept = KeptVectors(Counting(), path)
    assert not np.array_equal(kept.embed(["kettle"]), kept.embed_queries(["kettle"]))
    assert kept.embed_queries([]).shape == (0, 256)


def test_vectors_of_another_version_are_dropped(path: Path) -> None:
    KeptVectors(Counting("a"), path).embed(["kettle"])
    inner = Counting("b")
    KeptVectors(inner, path).embed(["kettle"])
    assert inner.asked == ["kettle"]


@pytest.mark.parametrize("content", [b"", b"PAR1 no table"])
def test_a_damaged_file_is_replaced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    KeptVectors(Counting(), path).embed(["kettle"])
    inner = Counting()
    KeptVectors(inner, path).embed(["kettle"])
    assert inner.asked == []


def test_version_and_tuned_settings_are_those_of_the_embedder(path: Path) -> None:
    kept = KeptVectors(Counting("x"), path)
    assert (kept.version, dict(kept.tuned)) == ("x", {})
