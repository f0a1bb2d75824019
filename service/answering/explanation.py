"""What ``explain`` shows beyond the answer: the fields as they were given, the source by field, and P([REJECT]).

It is built only for a request with ``explain``, so that other requests pay nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evidence.render import RenderedSource, Renderer
from feature_store import Fetched, PhotoRecord
from service.answering.request import MAX_LIST_ITEMS, InlineEvidence, RecommendRequest

TEXTS = ("caption", "photo_title", "title", "item_title")
_NO_PHOTO = PhotoRecord()
_NO_INLINE = InlineEvidence()


@dataclass(slots=True)
class Details:
    """The pipeline fills it in, stage by stage.

    Attributes:
        fields: the evidence fields before cleaning (``wire.GivenFields``).
        segments: the fields of the source (``wire.SourceSegment``).
        rejection: P([REJECT]) and its threshold (``wire.Rejection``).
    """

    fields: dict[str, Any] | None = None
    segments: list[dict[str, Any]] = field(default_factory=list)
    rejection: dict[str, float] | None = None

    def add_fields(self, request: RecommendRequest, fetched: Fetched) -> None:
        """Add the fields that the evidence is built from. As in `gather`, those of the request replace stored ones."""
        photo, inline = fetched.photo or _NO_PHOTO, request.evidence or _NO_INLINE
        stored = {name: getattr(photo.raw, name) for name in TEXTS}
        stored |= {name: getattr(photo, name) for name in ("summary", "anchors", "histories")}
        fields = {}
        for name, value in stored.items():
            sent = getattr(inline, name)
            fields[name] = value if sent is None else sent
        fields |= {name: fields[name] or "" for name in TEXTS}
        past = fetched.user.queries if fetched.user else ()
        fields["queries"] = [*(request.recent_queries or ()), *past][:MAX_LIST_ITEMS]
        fields["category"] = photo.category
        self.fields = fields

    def add_segments(self, renderer: Renderer, source: RenderedSource) -> None:
        """Add the fields of the source, as the model reads them."""
        budgets = renderer.budgets.to_dict()
        self.segments = [
            {
                "field": name,
                "text": text,
                "tokens": tokens,
                "budget": budgets[name],
                "truncated": name in source.truncated,
            }
            for name, text, tokens in renderer.segments(source.token_ids)
        ]

    def add_rejection(self, probability: float, threshold: float) -> None:
        """Add the probability of [REJECT] at the first step, and the threshold from which nothing is shown."""
        self.rejection = {"probability": round(probability, 6), "threshold": threshold}

    def to_wire(self) -> dict[str, Any]:
        """Return the three fields of ``wire.Explanation``."""
        return {"fields": self.fields, "segments": self.segments, "rejection": self.rejection}
