"""The evidence of one request: stored fields, fields of the request, and the viewer's past queries."""

from __future__ import annotations

import hashlib
import json

from evidence.assemble import build_evidence, clean_queries
from evidence.schema import Evidence, RawText
from feature_store import Fetched, PhotoRecord
from service.answering.personal import PersonalSelector
from service.answering.request import InlineEvidence, RecommendRequest
from service.outcomes import Degradation

_NO_PHOTO = PhotoRecord()
_NO_INLINE = InlineEvidence()


def gather(
    request: RecommendRequest, fetched: Fetched, personal: PersonalSelector
) -> tuple[Evidence, tuple[Degradation, ...]]:
    """Build the evidence that the model reads.

    A field of the request replaces the stored one; null counts as not given, an empty one as given.

    Returns:
        The evidence, and why the personal part may lack queries.
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
    recent = request.recent_queries or ()
    if evidence.is_empty or not (recent or (fetched.user and fetched.user.queries)):
        return evidence, ()
    replaced = any(
        field is not None
        for field in (inline.caption, inline.photo_title, inline.title, inline.item_title, inline.summary)
    )
    selected, causes = personal.select(evidence, photo, replaced=replaced, user=fetched.user, recent=recent)
    return evidence.with_personal(clean_queries(selected)), causes


def evidence_version(evidence: Evidence) -> str:
    """Return 12 hex digits that change whenever the evidence does."""
    parts = [evidence.text, evidence.summary, evidence.anchors, evidence.histories, evidence.personal]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=6).hexdigest()
