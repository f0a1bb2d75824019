"""From stored fields to Evidence: which title is canonical, and what cleaning each field gets."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.cleaning import MAX_CHARACTERS, MAX_QUERY_CHARACTERS, clean_query, clean_text, strip_summary_prefix
from evidence.schema import Evidence, RawText

MAX_TITLES_CHARACTERS = 2 * MAX_CHARACTERS
"""Characters of caption and titles that are read in all, until one of them says something."""

MAX_LIST_QUERIES = 64
"""Queries of one list that are read: what the wire allows."""

MAX_RENDERED_BYTES = 1024
"""UTF-8 bytes of one list that are read where it is rendered in order: anchors, histories.

By default 36 and 56 tokens of them are used, and a whole source has 144. With a tokenizer whose tokens have seven bytes
or fewer on average, what is left unread cannot reach a model.
"""

MAX_CANDIDATE_BYTES = 2048
"""UTF-8 bytes of one list that are read where the best are chosen from it: past queries. 64 queries of 32 bytes."""


def select_text(raw: RawText) -> str:
    """Return T: the first field that still says something once it is clean.

    The order is caption, photo title, title, item title (paper, section 3.2). A caption of nothing but hashtags counts
    as missing. The fields are read as far as `MAX_TITLES_CHARACTERS` go.
    """
    unread = MAX_TITLES_CHARACTERS
    for field in (raw.caption, raw.photo_title, raw.title, raw.item_title):
        if field:
            text = clean_text(field[:unread])
            if text:
                return text
            unread -= min(len(field), MAX_CHARACTERS)
    return ""


def clean_queries(queries: Sequence[str], max_bytes: int = MAX_CANDIDATE_BYTES) -> tuple[str, ...]:
    """Return the queries cleaned, without empty ones and repetitions (by case-folded form), order kept.

    Args:
        queries: the first `MAX_LIST_QUERIES` are read, and of each what `clean_query` reads.
        max_bytes: of UTF-8. The query with which the list has more, before or after cleaning, is not taken, nor is any
            after it.
    """
    kept: dict[str, str] = {}
    unread = max_bytes
    for query in queries[:MAX_LIST_QUERIES]:
        cleaned = clean_query(query)
        unread -= max(_utf8_bytes(query[:MAX_QUERY_CHARACTERS]), _utf8_bytes(cleaned))
        if unread < 0:
            break
        if cleaned:
            kept.setdefault(cleaned.casefold(), cleaned)
    return tuple(kept.values())


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def build_evidence(
    raw: RawText,
    summary: str | None = None,
    anchors: Sequence[str] = (),
    histories: Sequence[str] = (),
    personal: Sequence[str] = (),
) -> Evidence:
    """Clean every field of a trigger and return its evidence; any field may be missing."""
    return Evidence(
        text=select_text(raw),
        summary=strip_summary_prefix(summary),
        anchors=clean_queries(anchors, MAX_RENDERED_BYTES),
        histories=clean_queries(histories, MAX_RENDERED_BYTES),
        personal=clean_queries(personal),
    )
