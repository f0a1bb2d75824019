"""What turns texts into the vectors that neighbours and personal queries are found with.

The built-in one hashes words and character n-grams (evidence.embedding) and needs no training. A trained one takes its
place by offering the same two things: a version, and `embed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evidence.assemble import select_text
from evidence.cleaning import strip_summary_prefix
from evidence.embedding import EMBEDDING_VERSION, embed, trigger_text
from evidence.schema import RawText
from offline.ranked import FloatArray, IntArray

Matrix = npt.NDArray[np.float32]


class Embedder(Protocol):
    """A text encoder. Vectors of different versions are never compared."""

    @property
    def version(self) -> str:
        """Names the vector space; stored beside every vector."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Returns float32 [n, d], rows of length 1, all zeros for a text that says nothing."""


class HashedEmbedder:
    """The built-in embedder: hashed words and character trigrams."""

    version: str = EMBEDDING_VERSION

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Returns float32 [n, evidence.embedding.DIMENSION]."""
        return embed(texts)


_CHUNK_PAIRS = 1 << 17
"""(trigger, query) pairs whose vectors are gathered at once: 2 x 128 MiB at 256 dimensions."""

TEXT_FIELDS = ("caption", "photo_title", "title", "item_title")


def embed_videos(videos: pa.Table, embedder: Embedder) -> Matrix:
    """float32 [videos, d]: each video by its canonical text and its stripped summary, the words that serving uses."""
    columns = [videos[name].to_pylist() for name in (*TEXT_FIELDS, "summary")]
    texts = [
        trigger_text(select_text(RawText(*fields)), strip_summary_prefix(summary))
        for *fields, summary in zip(*columns, strict=True)
    ]
    return embedder.embed(texts)


def pair_similarity(left: Matrix, left_rows: IntArray, right: Matrix, right_rows: IntArray) -> FloatArray:
    """float32 [n], inner products of paired rows, gathered in chunks so that memory stays bounded."""
    products = np.empty(len(left_rows), np.float32)
    for start in range(0, len(left_rows), _CHUNK_PAIRS):
        part = slice(start, start + _CHUNK_PAIRS)
        products[part] = np.einsum("nd,nd->n", left[left_rows[part]], right[right_rows[part]])
    return products
