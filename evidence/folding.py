"""Unicode folding: one form for each character, and no character that a reader cannot see.

Every function reads a bounded number of characters and does a fixed number of passes over them. The results may still
change when they are folded again (without a character, its neighbours can compose), so `evidence.cleaning` decides
when a text is settled.
"""

from __future__ import annotations

import unicodedata
from unicodedata import category

from evidence.characters import (
    BLANK,
    INVISIBLE,
    MAX_MARKS,
    OTHER_PLANES,
    TEXT_CATEGORIES,
    TOO_MANY_MARKS,
    Kind,
    kind_of,
)
from evidence.patterns import EMPTY_BRACKETS, REPEATED_PUNCTUATION

_OPENING = frozenset("([{（【「《<")
_CLOSING = frozenset(")]}）】」》>")
_EDGE = " \t\n,.;:!?~|/\\-_=+*^`'\"…·。，、！？；：~•>»→()[]{}<【】「」《》"
_LEADING = _EDGE.translate(dict.fromkeys(map(ord, "([【《")))
_TRAILING = _EDGE.translate(dict.fromkeys(map(ord, ")]】》+")))

PIECE = 64
"""Characters normalised at a time. One character becomes up to 18, and a run of combining marks is sorted in quadratic
time: a small piece bounds both."""

MAX_OTHER_CHARACTERS = 64
"""Different characters beyond U+FFFF (emoji, rare ideographs, rare scripts) in one text. They are looked up one by
one. A text with more of them is not written by hand, and loses them all."""


def fold(raw: str, limit: int) -> str:
    """Fold width and compatibility forms (NFKC), and turn what is not text into spaces.

    Args:
        raw: any string, lone surrogates included.
        limit: the most characters read, and the most returned.

    Returns:
        Words with one space between them.
    """
    text = raw[:limit]
    if not text.isascii():
        text = _normalized(text, limit)
    if not (text.isascii() and text.isprintable()):
        text = _visible(text)[:limit]
    return " ".join(text.split())


def _normalized(text: str, limit: int) -> str:
    """Normalise piece by piece, until there are as many characters as are read."""
    pieces: list[str] = []
    size = 0
    for start in range(0, len(text), PIECE):
        piece = unicodedata.normalize("NFKC", text[start : start + PIECE])
        pieces.append(piece)
        size += len(piece)
        if size >= limit:
            break
    return "".join(pieces)[:limit]


def _visible(text: str) -> str:
    """Drop what cannot be seen, and put the rest into NFKC as a whole."""
    text = BLANK.sub(" ", INVISIBLE.sub("", text))
    others = set("".join(OTHER_PLANES.findall(text)))
    if len(others) > MAX_OTHER_CHARACTERS:
        text = OTHER_PLANES.sub(" ", text)
        others = set()
    kinds = {character: kind_of(character) for character in others if category(character) not in TEXT_CATEGORIES}
    if kinds:
        replaced = {ord(c): "" if kind is Kind.INVISIBLE else " " for c, kind in kinds.items() if kind is not Kind.MARK}
        text = text.translate(replaced)
    if TOO_MANY_MARKS.search(text) or Kind.MARK in kinds.values():
        text = _without_long_mark_runs(text)
    return unicodedata.normalize("NFKC", text)


def _without_long_mark_runs(text: str) -> str:
    kept = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def squeeze(text: str) -> str:
    """Drop empty brackets, repeated punctuation, and punctuation at both ends.

    Args:
        text: words with one space between them.
    """
    if EMPTY_BRACKETS.search(text):
        text = _without_empty_brackets(text)
    return REPEATED_PUNCTUATION.sub(r"\1", text).lstrip(_LEADING).rstrip(_TRAILING)


def _without_empty_brackets(text: str) -> str:
    """Drop each pair of brackets with nothing in it, from the inside out, in one pass over a stack.

    Any opening bracket pairs with any closing one. Each removed pair leaves one space.
    """
    stack: list[str] = []
    for character in text:
        if character == " ":
            if stack and stack[-1] != " ":
                stack.append(" ")
            continue
        if character in _CLOSING:
            after = -1 if stack and stack[-1] == " " else 0  # how far the last visible character is from the end
            if len(stack) + after > 0 and stack[after - 1] in _OPENING:
                del stack[after - 1 :]
                if stack and stack[-1] != " ":
                    stack.append(" ")
                continue
        stack.append(character)
    return "".join(stack)
