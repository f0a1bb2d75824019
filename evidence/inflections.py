"""English inflections of a folded word: a bounded number of spellings, by rules of spelling alone."""

from __future__ import annotations

import re
from typing import Literal

Inflections = Literal["none", "plurals", "all"]

_MIN_LETTERS = 3
_HISSING = ("ss", "us", "is", "x", "z", "ch", "sh")
_CONSONANT_Y = re.compile(r"[^aeiou]y")
_DOUBLED = re.compile(r"[^aeiou]{0,3}[aeiou][bdgklmnprtvz]")


def inflected(word: str, inflections: Inflections) -> tuple[str, ...]:
    """Return the inflected spellings of a word of lower-case ASCII letters, at most four, without the word itself.

    A word of less than three letters, or that seems to be a plural already, has no plural of its own.

    Args:
        word: lower-case.
        inflections: "plurals" for nouns, "all" also for the forms of verbs in -ing and -ed.
    """
    if inflections == "none" or len(word) < _MIN_LETTERS or not (word.isascii() and word.isalpha()):
        return ()
    spellings = _plurals(word)
    if inflections == "all":
        spellings += _verb_forms(word)
    return spellings


def _plurals(word: str) -> tuple[str, ...]:
    if _CONSONANT_Y.fullmatch(word[-2:]):
        return (word[:-1] + "ies",)
    if word.endswith(_HISSING):
        return (word + "es",)
    if word.endswith("s"):
        return ()
    if word.endswith("o"):
        return (word + "s", word + "es")
    if word.endswith("fe"):
        return (word + "s", word[:-2] + "ves")
    return (word + "s",)


def _verb_forms(word: str) -> tuple[str, ...]:
    if _CONSONANT_Y.fullmatch(word[-2:]):
        return (word + "ing", word[:-1] + "ied")
    if word.endswith("ee"):
        return (word + "ing", word + "d")
    if word.endswith("e"):
        return (word[:-1] + "ing", word + "d")
    if _DOUBLED.fullmatch(word):
        return (word + word[-1] + "ing", word + word[-1] + "ed")
    return (word + "ing", word + "ed")
