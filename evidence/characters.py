"""Kinds of characters: text, marks that stack on a letter, what cannot be seen, and what is no text.

The expressions hold characters below U+10000 only. There a class is one look-up in a bit map, while members beyond cost
a comparison for each of their ranges at every character. Characters of other planes are looked up one by one.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from itertools import groupby
from unicodedata import category as category_of
from unicodedata import combining

# So: symbols other than these are emoji and dingbats.
_KEPT_SYMBOLS = frozenset("°℃℉№")
_JOINED_MARKS = frozenset(map(chr, (*range(0xFE00, 0xFE10), 0x20E3)))  # variation selectors, the keycap
TEXT_CATEGORIES = frozenset(
    {"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Zs"}
)
"""Characters of these categories are text, without a further look."""
_BLANK_CATEGORIES = frozenset({"Cc", "Cs", "Co", "Cn", "So", "Sk", "Zl", "Zp"})


class Kind(Enum):
    """What folding does with a character."""

    TEXT = auto()
    MARK = auto()
    """Stacks on the letter before it; NFKC sorts it among its neighbours."""
    INVISIBLE = auto()
    """Sits inside words without being seen: zero-width characters, variation selectors."""
    BLANK = auto()
    """Is no text and parts words: controls, emoji, private and unassigned characters."""


def kind_of(character: str) -> Kind:
    """Return what folding does with a character."""
    category = category_of(character)
    if category in TEXT_CATEGORIES:
        return Kind.TEXT
    if category == "Cf" or character in _JOINED_MARKS:
        return Kind.INVISIBLE
    if category in _BLANK_CATEGORIES and character not in _KEPT_SYMBOLS:
        return Kind.BLANK
    return Kind.MARK if combining(character) else Kind.TEXT


def _class_members() -> dict[Kind, str]:
    """Return the inside of a character class for each kind: its members below U+10000, as ranges."""
    members = dict.fromkeys(Kind, "")
    start = 0
    for kind, run in groupby(kind_of(chr(code)) for code in range(0x10000)):
        end = start + sum(1 for _ in run)
        members[kind] += f"\\u{start:04x}-\\u{end - 1:04x}"
        start = end
    return members


_MEMBERS = _class_members()
MAX_MARKS = 30
"""Combining marks that one letter keeps, as in the Stream-Safe Text Format (UAX #15)."""

INVISIBLE = re.compile(f"[{_MEMBERS[Kind.INVISIBLE]}]++")
BLANK = re.compile(f"[{_MEMBERS[Kind.BLANK]}]++")
TOO_MANY_MARKS = re.compile(f"[{_MEMBERS[Kind.MARK]}]{{{MAX_MARKS + 1}}}")
OTHER_PLANES = re.compile(r"[\U00010000-\U0010ffff]++")
