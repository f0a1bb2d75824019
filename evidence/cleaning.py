"""Cleaning of raw captions, titles, summaries and queries, English and Chinese.

Every function here is total (it never raises), idempotent, and returns no control character. Prices, sizes and model
names survive; mentions, hashtags, account ids, links, phone numbers, emoji and begging for likes do not.

Cleaning runs on the request path, on text of unknown origin, so its work is bounded for any input: it reads a fixed
number of characters, in at most `MAX_ROUNDS` rounds, and no expression takes more than linear time
(`evidence.patterns`). A round that changes nothing ends the cleaning, which makes it idempotent. A text that still
changes in the last round is hostile and counts as empty; real ones are settled after two rounds (ADR 50).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from evidence.folding import fold, squeeze
from evidence.patterns import SUMMARY_LABEL, SUMMARY_OPENING, TEXT_RULES, Rule

MAX_CHARACTERS = 1024
"""Characters of a caption, title or summary that are read. Of 129,000 real ones, 13 are longer."""

MAX_CLEAN_CHARACTERS = 512
"""Characters of a caption, title or summary that are kept.

A model reads 20 tokens of a text and 24 of a summary by default, and the longest token of the demo's vocabulary has 15
characters: at most 360. What is read and not kept leaves room for hashtags and mentions before the words. Of 129,000
real captions and titles, 36 are cut.
"""

MAX_QUERY_CHARACTERS = 256
"""Characters of a query that are read: what the wire allows. The longest of 88,000 real queries has 209."""

MAX_ROUNDS = 3
"""Rounds of cleaning, the one that finds nothing left to change among them."""

CODE = ("characters", "cleaning", "folding", "patterns")
"""The modules that decide what cleaning returns."""

_PLACEHOLDERS = frozenset({"unknown", "null", "none", "nan", "n/a", "undefined", "未知", "无", "-"})


def clean_text(raw: str | None) -> str:
    """Return the wording of a caption or title that says what the video is about, "" where nothing is left."""
    return _settle(raw, _text_round) if raw else ""


def strip_summary_prefix(raw: str | None) -> str:
    """Return a multimodal summary, cleaned, without template openings and field labels."""
    return _settle(raw, _summary_round) if raw else ""


def clean_query(raw: str | None) -> str:
    """Return a query on one line without invisible characters; its words and case stay as they were."""
    return _settle(raw, _query_round) if raw else ""


@cache
def cleaning_version() -> str:
    """Return a hash of the code and of the Unicode data that cleaning uses, for keys of caches of cleaned text."""
    digest = hashlib.sha256(unicodedata.unidata_version.encode())
    for name in CODE:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def _settle(raw: str, clean: Callable[[str], str]) -> str:
    """Return the first text of `MAX_ROUNDS` rounds that a round leaves as it is, "" where there is none.

    As the result is such a text, cleaning it again takes one round and changes nothing.
    """
    text = raw
    for _ in range(MAX_ROUNDS):
        cleaned = clean(text)
        if cleaned == text:
            return text
        text = cleaned
    return ""


def _text_round(text: str) -> str:
    return _finish(_without(TEXT_RULES, fold(text, MAX_CHARACTERS)))


def _summary_round(text: str) -> str:
    text = _without(TEXT_RULES, fold(text, MAX_CHARACTERS))
    if opening := SUMMARY_OPENING.match(text):
        text = text[opening.end() :]
    return _finish(_without((SUMMARY_LABEL,), text))


def _query_round(text: str) -> str:
    # A semicolon separates the queries of a rendered field.
    return squeeze(fold(text.replace(";", " "), MAX_QUERY_CHARACTERS))


def _without(rules: Sequence[Rule], text: str) -> str:
    """Replace what the rules remove by spaces, one rule after another; one space stays between words."""
    for needs, dropped in rules:
        if needs.search(text):
            left = dropped.sub(" ", text)
            if left != text:
                text = " ".join(left.split())
    return text


def _finish(text: str) -> str:
    text = squeeze(text[:MAX_CLEAN_CHARACTERS])
    return "" if text.casefold() in _PLACEHOLDERS else text
