"""Text to vectors, for nearest neighbours and for the personal filter.

The built-in embedder hashes words and character n-grams (evidence.embedding) and needs no training. A trained embedder
replaces it by offering the same two members: `version` and `embed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from evidence.assemble import select_text
from evidence.cleaning import strip_summary_prefix
from evidence.embedding import EMBEDDING_VERSION, embed, trigger_text
from evidence.rows import TEXT_FIELDS, raw_text_of_row
from offline.arrays import FloatArray, IntArray, Matrix

_PAIRS_PER_CHUNK = 1 << 17
"""(trigger, query) pairs whose vectors are gathered at once: 2 x 128 MiB at 256 dimensions."""


class Embedder(Protocol):
    """A text encoder. Vectors of different versions are never compared."""

    @property
    def version(self) -> str:
        """The name of the vector space; it is stored beside every vector."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, d]: rows of length 1, all zeros where a text has no word."""


class HashedEmbedder:
    """The built-in embedder: hashed words and character trigrams."""

    version: str = EMBEDDING_VERSION

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, evidence.embedding.DIMENSION]."""
        return embed(texts)


def embed_videos(videos: pa.Table, embedder: Embedder) -> Matrix:
    """Return float32 [videos, d], made from each video's canonical text and stripped summary, as serving does."""
    rows = videos.select([*TEXT_FIELDS, "summary"]).to_pylist()
    texts = [trigger_text(select_text(raw_text_of_row(row)), strip_summary_prefix(row["summary"])) for row in rows]
    return embedder.embed(texts)


def pair_similarity(left: Matrix, left_rows: IntArray, right: Matrix, right_rows: IntArray) -> FloatArray:
    """Return float32 [n], the inner products of paired rows; they are gathered in chunks, so memory stays bounded."""
    products = np.empty(len(left_rows), np.float32)
    for start in range(0, len(left_rows), _PAIRS_PER_CHUNK):
        part = slice(start, start + _PAIRS_PER_CHUNK)
        products[part] = np.einsum("nd,nd->n", left[left_rows[part]], right[right_rows[part]])
    return products
