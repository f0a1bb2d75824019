"""The four parts of evidence (paper, section 3.2): text, summary, collaborative and personal."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RawText:
    """The platform's text fields of one video, uncleaned. None means missing."""

    caption: str | None = None
    photo_title: str | None = None
    title: str | None = None
    item_title: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Cleaned evidence of one video for one viewer. An empty field means that nothing is known.

    Attributes:
        text: T, the canonical title.
        summary: M, the multimodal summary without its template prefix.
        anchors: first part of C, queries of similar videos, best first.
        histories: second part of C, queries issued on this very video, most frequent first.
        personal: P, the viewer's past queries that are similar to the video, most similar first.
    """

    text: str = ""
    summary: str = ""
    anchors: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the video. Personal queries alone are not enough to generate from."""
        return not (self.text or self.summary or self.anchors or self.histories)

    def with_personal(self, personal: tuple[str, ...]) -> Evidence:
        """Return the evidence of the same video for another viewer."""
        return replace(self, personal=personal)
