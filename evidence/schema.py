"""The four parts of evidence (paper, section 3.2): text, summary, collaborative and personal."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RawText:
    """The platform's own text fields of one video, as they were typed. None means missing."""

    caption: str | None = None
    photo_title: str | None = None
    title: str | None = None
    item_title: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Cleaned evidence of one trigger for one viewer; an empty field is missing.

    Attributes:
        text: T, the canonical title.
        summary: M, the multimodal summary without its template prefix.
        anchors: first half of C, queries of the nearest other videos, best first.
        histories: second half of C, queries issued on this very video, most frequent first.
        personal: P, the viewer's own past queries that resemble the trigger, most similar first.
    """

    text: str = ""
    summary: str = ""
    anchors: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the trigger. The personal part alone cannot ground a query."""
        return not (self.text or self.summary or self.anchors or self.histories)

    def with_personal(self, personal: tuple[str, ...]) -> Evidence:
        """Return the same trigger as another viewer sees it."""
        return replace(self, personal=personal)
