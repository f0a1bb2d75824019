"""Text as runs of folded letters, and where words start and end among them."""

from __future__ import annotations

import re
from typing import NamedTuple

from evidence.readings import BREAK, DIGIT, LATIN, LEET, LETTER, MARK, SIGN, SYMBOL, TABLES, Kind, Reading, leet_form

_ASCII_RUNS = re.compile(r"([a-z]+)|([0-9]+)")
_ASCII_LEET_RUNS = re.compile(r"([a-z]+)|([0-9]+)|([@$!|+]+)")
_ASCII_KINDS = ((BREAK, 0), (LETTER, LATIN), (DIGIT, 0), (MARK, SYMBOL))


class Run(NamedTuple):
    """Letters of one kind that follow each other.

    broken: whether something that is neither letter nor digit comes before them.
    letters: folded. Empty only for the last run of a text that ends in a break.
    kind: of all of them.
    scripts: bits of all of them.
    """

    broken: bool
    letters: str
    kind: Kind
    scripts: int


def runs_of(text: str, reading: Reading) -> list[Run]:
    """Return the runs of letters of a text or of a piece of one; a last run without letters is a break at the end."""
    return _runs_of_ascii(text, reading) if text.isascii() else _runs_of_any(text, reading)


def _runs_of_ascii(text: str, reading: Reading) -> list[Run]:
    """Do what `_runs_of_any` does, in a fifth of the time."""
    text = text.lower()
    leet = reading == LEET
    runs, end = [], 0
    for found in (_ASCII_LEET_RUNS if leet else _ASCII_RUNS).finditer(text):
        letters = found.group()
        kind, scripts = _ASCII_KINDS[found.lastindex or 0]
        if leet:
            letters = leet_form(letters)
            scripts = LATIN if kind == LETTER else SYMBOL
        runs.append(Run(found.start() != end, letters, kind, scripts))
        end = found.end()
    if end != len(text):
        runs.append(Run(True, "", BREAK, 0))
    return runs


def _runs_of_any(text: str, reading: Reading) -> list[Run]:
    runs: list[Run] = []
    table = TABLES[reading]
    letters: list[str] = []  # of the run that is open
    broken, broken_before, kind, all_scripts = False, False, BREAK, 0
    for character in text:
        for letter, letter_kind, scripts in table[character]:
            if letter_kind == BREAK:
                broken = True
                continue
            if broken or letter_kind != kind:
                if letters:
                    runs.append(Run(broken_before, "".join(letters), kind, all_scripts))
                letters, all_scripts = [], 0
                broken_before, broken, kind = broken, False, letter_kind
            letters.append(letter)
            all_scripts |= scripts
    if letters:
        runs.append(Run(broken_before, "".join(letters), kind, all_scripts))
    if broken:
        runs.append(Run(True, "", BREAK, 0))
    return runs


def starts_word(reading: Reading, run: Run, before: Kind) -> bool:
    """Whether a word starts with this run, where the text before it ends in the given kind.

    A change between letters, digits and signs is a boundary. Within LEET, digits and symbols are letters of words.
    """
    if run.broken or before == BREAK:
        return True
    if reading == LEET and SIGN not in (before, run.kind):
        return False
    return run.kind != before


def ends_word(reading: Reading, run: Run, before: Kind) -> bool:
    """Whether a word ends before this run.

    Within LEET a word may also end where digits or symbols follow letters, as in "v4pe2024" and "v4pe!", because
    these may be no letters of it.
    """
    return starts_word(reading, run, before) or (reading == LEET and run.kind > before)
