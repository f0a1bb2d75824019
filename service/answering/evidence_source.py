"""The evidence of one request: stored fields, fields of the request, and the viewer's past queries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache

from evidence.assemble import MAX_LIST_QUERIES, build_evidence, clean_queries
from evidence.embedding import DIMENSION, Matrix, embed, filter_personal, trigger_text
from evidence.kept import bytes_of, sized
from evidence.schema import Evidence, RawText
from feature_store import Fetched, PhotoRecord, UserRecord
from service.answering.request import InlineEvidence, RecommendRequest
from service.settings import PersonalSettings

VECTOR_CACHE_BYTES = 16 * 1024 * 1024
"""Limit of the cached texts and vectors, 1.6 KB a query.

A viewer's past queries are needed again for every video of a session.
"""

_NO_PHOTO = PhotoRecord()
_NO_INLINE = InlineEvidence()


def gather(request: RecommendRequest, fetched: Fetched, settings: PersonalSettings) -> tuple[Evidence, bool]:
    """Build the evidence that the model reads.

    A field of the request replaces the stored one; null counts as not given, an empty one as given.

    Returns:
        The evidence, and whether vectors of another embedding version were left out of the personal part.
    """
    photo = fetched.photo or _NO_PHOTO
    inline = request.evidence or _NO_INLINE
    stored = photo.raw
    evidence = build_evidence(
        RawText(
            caption=stored.caption if inline.caption is None else inline.caption,
            photo_title=stored.photo_title if inline.photo_title is None else inline.photo_title,
            title=stored.title if inline.title is None else inline.title,
            item_title=stored.item_title if inline.item_title is None else inline.item_title,
        ),
        summary=photo.summary if inline.summary is None else inline.summary,
        anchors=photo.anchors if inline.anchors is None else inline.anchors,
        histories=photo.histories if inline.histories is None else inline.histories,
    )
    if evidence.is_empty or not (request.recent_queries or (fetched.user and fetched.user.queries)):
        return evidence, False
    personal, mismatch = _personal(evidence, photo, inline, fetched.user, request.recent_queries or (), settings)
    return evidence.with_personal(clean_queries(personal)), mismatch


def evidence_version(evidence: Evidence) -> str:
    """Return 12 hex digits that change whenever the evidence does."""
    parts = [evidence.text, evidence.summary, evidence.anchors, evidence.histories, evidence.personal]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=6).hexdigest()


def _personal(
    evidence: Evidence,
    photo: PhotoRecord,
    inline: InlineEvidence,
    user: UserRecord | None,
    recent: Sequence[str],
    settings: PersonalSettings,
) -> tuple[tuple[str, ...], bool]:
    """Return the past queries that are similar to the video, and whether vectors of another version were left out."""
    overridden = any(
        field is not None
        for field in (inline.caption, inline.photo_title, inline.title, inline.item_title, inline.summary)
    )
    trigger = None if overridden else photo.embedding
    if trigger is None:
        if not overridden and photo.embedding_version is not None:
            return (), True
        trigger = vectors_of([trigger_text(evidence.text, evidence.summary)])[0]
    elif trigger.shape != (DIMENSION,):
        return (), True
    queries = list(clean_queries(recent))
    vectors = vectors_of(queries)
    past, past_vectors, mismatch = _past(user)
    personal = filter_personal(
        trigger, queries + past, np.concatenate([vectors, past_vectors]), settings.threshold, settings.limit
    )
    return personal, mismatch


def _past(user: UserRecord | None) -> tuple[list[str], Matrix, bool]:
    """Return a user's newest stored queries with their vectors, and whether they were left out for their version.

    Queries without vectors have to be embedded, so they are cleaned first, like queries of the request, which bounds
    their length.
    """
    if user is None:
        return [], vectors_of([]), False
    if user.embeddings is None and user.embedding_version is None:
        queries = list(clean_queries(user.queries))
        return queries, vectors_of(queries), False
    if user.embeddings is None or user.embeddings.shape[1] != DIMENSION:
        return [], vectors_of([]), True
    queries = list(user.queries[:MAX_LIST_QUERIES])
    return queries, user.embeddings[: len(queries)], False


class VectorMemory:
    """A cache of the vectors of texts; the least recently used are evicted first. For one thread."""

    def __init__(self, max_bytes: int) -> None:
        """Build an empty cache for at most `max_bytes` of texts and vectors."""
        self._kept: LRUCache[str, tuple[Matrix, int]] = LRUCache(max_bytes, bytes_of)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of the cached texts and vectors."""
        return int(self._kept.currsize)

    def __call__(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of `embed`, float32 [n, DIMENSION]. Texts that are not cached are embedded together."""
        found = {text: self._kept[text][0] for text in texts if text in self._kept}
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        for text, vector in zip(missing, embed(missing), strict=True):
            kept = found[text] = vector.copy()  # a view would keep the whole array in memory
            entry = sized(kept, (text, kept))
            if bytes_of(entry) <= self._kept.maxsize:
                self._kept[text] = entry
        return np.stack([found[text] for text in texts]) if texts else np.zeros((0, DIMENSION), np.float32)

    def clear(self) -> None:
        """Remove all vectors."""
        self._kept.clear()


vectors_of = VectorMemory(VECTOR_CACHE_BYTES)
"""The cache of this process, used on the event loop only."""
