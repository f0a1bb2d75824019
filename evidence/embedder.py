"""What serving needs of an embedder, for each of the three kinds.

hashed        `HashedEmbedder`, without files; of a bundle without an embedder
static        `evidence.static_embedder.StaticEmbedder`, trained token vectors
transformer   `StoredVectors`: the model runs offline alone, serving compares the vectors of the store
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np

from evidence.embedding import DIMENSION, EMBEDDING_VERSION, PERSONAL_THRESHOLD, Matrix, embed

TRANSFORMER = "transformer"
"""The kind of an embedder that is a model of sentence-transformers."""


class Embedder(Protocol):
    """Text to vectors of length 1. Vectors of different versions are never compared."""

    @property
    def version(self) -> str:
        """The name of the vector space; it is stored beside every vector."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    @property
    def tuned(self) -> Mapping[str, float]:
        """Settings of the evidence that were chosen for this space, by name; empty where none were."""

    @property
    def embeds_texts(self) -> bool:
        """Whether `embed` gives texts their vectors; False if only the store has vectors of this space."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension]: rows of length 1, all zeros where nothing of a text is known."""


class HashedEmbedder:
    """The fallback where none is trained: hashed words and character trigrams."""

    version: str = EMBEDDING_VERSION
    dimension: int = DIMENSION
    tuned: Mapping[str, float] = MappingProxyType({})
    embeds_texts: bool = True

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, evidence.embedding.DIMENSION]."""
        return embed(texts)

    def embed_queries(self, queries: Sequence[str]) -> Matrix:
        """Return the same as `embed`."""
        return embed(queries)


class StoredVectors:
    """A vector space whose model is not here: the vectors of videos and of past queries come from the store."""

    embeds_texts: bool = False

    def __init__(self, version: str, dimension: int, tuned: Mapping[str, float]) -> None:
        """Keep what identifies the space.

        Args:
            version: of the vectors in the store.
            dimension: of a vector.
            tuned: settings of the evidence that were chosen for this space, by name.
        """
        self.version = version
        self.dimension = dimension
        self.tuned = dict(tuned)

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return zeros, float32 [n, dimension]: no text is known."""
        return np.zeros((len(texts), self.dimension), np.float32)


def personal_threshold(embedder: Embedder) -> float:
    """Return the cosine above which a past query is personal evidence: the one tuned for the space, or the default."""
    return embedder.tuned.get("personal_threshold", PERSONAL_THRESHOLD)
