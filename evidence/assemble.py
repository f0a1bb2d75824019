"""From stored fields to Evidence: which title is canonical, and what cleaning each field gets."""

from __future__ import annotations

from collections.abc import Iterable

from evidence.cleaning import clean_query, clean_text, strip_summary_prefix
from evidence.schema import Evidence, RawText


def select_text(raw: RawText) -> str:
    """Return T: the first field that still says something once it is clean.

    The order is caption, photo title, title, item title (paper, section 3.2). A caption of nothing but hashtags counts
    as missing.
    """
    for field in (raw.caption, raw.photo_title, raw.title, raw.item_title):
        text = clean_text(field)
        if text:
            return text
    return ""


def clean_queries(queries: Iterable[str]) -> tuple[str, ...]:
    """Return the queries cleaned, without empty ones and repetitions (by case-folded form), order kept."""
    kept: dict[str, str] = {}
    for query in queries:
        cleaned = clean_query(query)
        if cleaned:
            kept.setdefault(cleaned.casefold(), cleaned)
    return tuple(kept.values())


def build_evidence(
    raw: RawText,
    summary: str | None = None,
    anchors: Iterable[str] = (),
    histories: Iterable[str] = (),
    personal: Iterable[str] = (),
) -> Evidence:
    """Clean every field of a trigger and return its evidence; any field may be missing."""
    return Evidence(
        text=select_text(raw),
        summary=strip_summary_prefix(summary),
        anchors=clean_queries(anchors),
        histories=clean_queries(histories),
        personal=clean_queries(personal),
    )
