"""The evidence of one request: what is stored, what the caller gave, and the viewer's own past queries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from evidence.assemble import build_evidence, clean_queries
from evidence.embedding import DIMENSION, Matrix, embed, filter_personal, trigger_text
from evidence.schema import Evidence, RawText
from feature_store import Fetched, PhotoRecord, UserRecord
from service.answering.request import InlineEvidence, RecommendRequest
from service.settings import PersonalSettings

MAX_PERSONAL_CANDIDATES = 64
"""Past queries that are compared with the trigger; the newest are taken."""

VECTORS_KEPT = 8192
"""Texts whose vectors are remembered, 1 KiB each: a viewer's past queries come again with every video of a session."""

_NO_PHOTO = PhotoRecord()
_NO_INLINE = InlineEvidence()


def gather(request: RecommendRequest, fetched: Fetched, settings: PersonalSettings) -> tuple[Evidence, bool]:
    """Return the evidence that the model reads, and whether the personal part lacks something because of its version.

    A field of the request wins over the stored one; null counts as not given, an empty one as given.
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
    """The past queries that resemble the trigger, and whether vectors of another version were left out."""
    overridden = any(
        field is not None
        for field in (inline.caption, inline.photo_title, inline.title, inline.item_title, inline.summary)
    )
    trigger = None if overridden else photo.embedding
    if trigger is None:
        if not overridden and photo.embedding_version is not None:
            return (), True
        trigger = _vector(trigger_text(evidence.text, evidence.summary))
    elif trigger.shape != (DIMENSION,):
        return (), True
    queries = list(clean_queries(recent))
    vectors = _vectors(queries)
    past, past_vectors, mismatch = _past(user)
    personal = filter_personal(
        trigger, queries + past, np.concatenate([vectors, past_vectors]), settings.threshold, settings.limit
    )
    return personal, mismatch


def _past(user: UserRecord | None) -> tuple[list[str], Matrix, bool]:
    """A user's stored queries with their vectors, and whether they were left out because of their version."""
    queries = list(user.queries[:MAX_PERSONAL_CANDIDATES]) if user else []
    if user is None or (user.embeddings is None and user.embedding_version is None):
        return queries, _vectors(queries), False
    if user.embeddings is None or user.embeddings.shape[1] != DIMENSION:
        return [], _vectors([]), True
    return queries, user.embeddings[: len(queries)], False


def _vectors(texts: Sequence[str]) -> Matrix:
    """What ``embed`` gives, from memory where it can be."""
    return np.stack([_vector(text) for text in texts]) if texts else np.zeros((0, DIMENSION), np.float32)


@lru_cache(maxsize=VECTORS_KEPT)
def _vector(text: str) -> Matrix:
    vector: Matrix = embed([text])[0]
    vector.setflags(write=False)  # it is handed out again
    return vector
