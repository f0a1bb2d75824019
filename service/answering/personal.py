"""The personal part of the evidence: which of a viewer's past queries are similar enough to the video.

Vectors of the store are used as they are. Other texts are embedded by the embedder of the bundle, if it can do so
while serving.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache

from evidence.assemble import MAX_LIST_QUERIES, clean_queries
from evidence.embedder import Embedder, personal_threshold
from evidence.embedding import Matrix, filter_personal, trigger_text
from evidence.kept import bytes_of, sized
from evidence.schema import Evidence
from feature_store import PhotoRecord, UserRecord
from service.outcomes import Degradation
from service.settings import PersonalSettings

VECTOR_CACHE_BYTES = 16 * 1024 * 1024
"""Limit of the cached texts and vectors, 1.6 KB a query of 256 dimensions.

A viewer's past queries are needed again for every video of a session.
"""

Past = tuple[list[str], Matrix, Degradation | None]
"""Queries, their vectors, and why some were left out."""


class VectorMemory:
    """A cache of the vectors of texts; the least recently used are evicted first. For one thread."""

    def __init__(self, embedder: Embedder, max_bytes: int = VECTOR_CACHE_BYTES) -> None:
        """Build an empty cache for at most `max_bytes` of texts and vectors."""
        self._embedder = embedder
        self._kept: LRUCache[str, tuple[Matrix, int]] = LRUCache(max_bytes, bytes_of)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of the cached texts and vectors."""
        return int(self._kept.currsize)

    def __call__(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of the embedder, float32 [n, d]. Texts that are not cached are embedded together."""
        found = {text: self._kept[text][0] for text in texts if text in self._kept}
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        for text, vector in zip(missing, self._embedder.embed(missing) if missing else (), strict=True):
            kept = found[text] = vector.copy()  # a view would keep the whole array in memory
            entry = sized(kept, (text, kept))
            if bytes_of(entry) <= self._kept.maxsize:
                self._kept[text] = entry
        if not texts:
            return np.zeros((0, self._embedder.dimension), np.float32)
        return np.stack([found[text] for text in texts])

    def clear(self) -> None:
        """Remove all vectors."""
        self._kept.clear()


class PersonalSelector:
    """Selects personal queries for one embedder. For one thread, the one of the event loop."""

    def __init__(self, embedder: Embedder, settings: PersonalSettings) -> None:
        """Build a selector with an empty cache.

        Args:
            embedder: of the bundle.
            settings: the limit, and a threshold that replaces the one of the embedder where it is set.
        """
        self._embedder = embedder
        self._limit = settings.limit
        self.threshold = personal_threshold(embedder) if settings.threshold is None else settings.threshold
        """The cosine above which a query is selected."""
        self.vectors = VectorMemory(embedder)

    def select(
        self, evidence: Evidence, photo: PhotoRecord, *, replaced: bool, user: UserRecord | None, recent: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[Degradation, ...]]:
        """Return the past queries that are similar to the video, and why some were left out of the comparison.

        Args:
            evidence: its text and summary stand for the video where no stored vector does.
            photo: the stored record.
            replaced: the request brought a text or a summary, so the stored vector is not that of this evidence.
            user: the stored record of the viewer.
            recent: queries of the request, newest first.
        """
        trigger, cause = self._trigger(evidence, photo, replaced)
        if trigger is None:
            return (), (cause,) if cause else ()
        queries, vectors, unembedded = self._embedded(recent)
        past, past_vectors, left_out = self._past(user)
        selected = filter_personal(
            trigger, queries + past, np.concatenate([vectors, past_vectors]), self.threshold, self._limit
        )
        causes = dict.fromkeys(cause for cause in (left_out, unembedded) if cause)
        return selected, tuple(causes)

    def _trigger(
        self, evidence: Evidence, photo: PhotoRecord, replaced: bool
    ) -> tuple[Matrix | None, Degradation | None]:
        """Return the vector of the video, float32 [d], or why there is none."""
        if not replaced and photo.embedding is not None and photo.embedding.shape == (self._embedder.dimension,):
            return photo.embedding, None
        if not replaced and (photo.embedding is not None or photo.embedding_version is not None):
            return None, "embedding_version"
        if not self._embedder.embeds_texts:
            return None, "no_embedding"
        return self.vectors([trigger_text(evidence.text, evidence.summary)])[0], None

    def _past(self, user: UserRecord | None) -> Past:
        """Return a user's newest stored queries with their vectors."""
        if user is None:
            return [], self.vectors([]), None
        if user.embeddings is None and user.embedding_version is None:
            return self._embedded(user.queries)
        if user.embeddings is None or user.embeddings.shape[1] != self._embedder.dimension:
            return [], self.vectors([]), "embedding_version"
        queries = list(user.queries[:MAX_LIST_QUERIES])
        return queries, user.embeddings[: len(queries)], None

    def _embedded(self, texts: Sequence[str]) -> Past:
        """Return queries that have no stored vectors. Cleaning bounds the length of what is embedded."""
        queries = list(clean_queries(texts))
        if queries and not self._embedder.embeds_texts:
            return [], self.vectors([]), "no_embedding"
        return queries, self.vectors(queries), None
