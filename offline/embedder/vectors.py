"""Text to vectors, for nearest neighbours and for the personal filter.

The hashed embedder (evidence.embedder) needs no training. A trained one is read by `offline.embedder.folder`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from evidence.assemble import select_text
from evidence.cleaning import strip_summary_prefix
from evidence.embedding import trigger_text
from evidence.rows import TEXT_FIELDS, raw_text_of_row
from offline.arrays import FloatArray, IntArray, Matrix

_VIDEOS_AT_ONCE = 1 << 14
"""Videos whose fields exist as Python strings at the same time."""

_PAIRS_PER_CHUNK = 1 << 17
"""(trigger, query) pairs whose vectors are gathered at once: 2 x 128 MiB at 256 dimensions."""


class Embedder(Protocol):
    """A text encoder. Vectors of different versions are never compared."""

    @property
    def version(self) -> str:
        """The name of the vector space; it is stored beside every vector."""

    @property
    def tuned(self) -> Mapping[str, float]:
        """Settings of the evidence that were chosen for this space, by name; empty where none were."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, d], one vector for each text of a video.

        Rows have length 1, or are all zeros where nothing of a text is known.
        """

    def embed_queries(self, queries: Sequence[str]) -> Matrix:
        """Return the same for queries, which some models read with an instruction."""


def embed_videos(videos: pa.Table, embedder: Embedder) -> Matrix:
    """Return float32 [videos, d], made from each video's canonical text and stripped summary, as serving does."""
    return embedder.embed(video_texts(videos))


def video_texts(videos: pa.Table) -> list[str]:
    """Return what is embedded of each video: its canonical text and its stripped summary, as in serving."""
    fields = videos.select([*TEXT_FIELDS, "summary"])
    return [
        trigger_text(select_text(raw_text_of_row(row)), strip_summary_prefix(row["summary"]))
        for start in range(0, fields.num_rows, _VIDEOS_AT_ONCE)
        for row in fields.slice(start, _VIDEOS_AT_ONCE).to_pylist()
    ]


def pair_similarity(left: Matrix, left_rows: IntArray, right: Matrix, right_rows: IntArray) -> FloatArray:
    """Return float32 [n], the inner products of paired rows; they are gathered in chunks, so memory stays bounded."""
    products = np.empty(len(left_rows), np.float32)
    for start in range(0, len(left_rows), _PAIRS_PER_CHUNK):
        part = slice(start, start + _PAIRS_PER_CHUNK)
        products[part] = np.einsum("nd,nd->n", left[left_rows[part]], right[right_rows[part]])
    return products
