"""From stored fields to Evidence: which title is canonical, and what cleaning each field gets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evidence.cleaning import MAX_CHARACTERS, MAX_QUERY_CHARACTERS, clean_query, clean_text, strip_summary_prefix
from evidence.schema import Evidence, RawText

MAX_TITLES_CHARACTERS = 2 * MAX_CHARACTERS
"""Characters of caption and titles that are read in all, until one of them says something."""

MAX_LIST_QUERIES = 64
"""Queries of one list that are read: what the wire allows."""

MAX_LIST_CHARACTERS = 2048
"""Characters of one list that are read, before cleaning: 64 queries of 32 characters.

Lists are rendered in order until a budget is spent. At 15 characters in the longest token, the whole of a source of
112 tokens takes fewer, so what is left unread cannot reach a model.
"""


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


def bounded_queries(queries: Iterable[str]) -> Iterator[str]:
    """Yield the first queries of a list, as many as one list may cost (`MAX_LIST_QUERIES`, `MAX_LIST_CHARACTERS`).

    Each counts with the characters that cleaning reads of it. The first one always comes.
    """
    characters = 0
    for _, query in zip(range(MAX_LIST_QUERIES), queries, strict=False):
        characters += min(len(query), MAX_QUERY_CHARACTERS)
        if characters > MAX_LIST_CHARACTERS:
            return
        yield query


def clean_queries(queries: Iterable[str]) -> tuple[str, ...]:
    """Return the queries cleaned, without empty ones and repetitions (by case-folded form), order kept.

    Only the first ones are read (`bounded_queries`).
    """
    kept: dict[str, str] = {}
    for query in bounded_queries(queries):
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
