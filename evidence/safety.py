"""Prohibited terms: one matcher for the safety rules of training data and for the filter before exposure.

A term is found in each reading of a text (`evidence.readings`). Case, width, accents, spaces, punctuation, invisible
characters, look-alikes of other scripts and, where a list says so, digits and symbols for letters do not hide it. A
word that merely contains a term ("Essex") is left alone: in scripts with spaces a match must start where a word starts
and end where a word ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ahocorasick

from evidence.errors import TermListError
from evidence.inflections import inflected
from evidence.readings import BREAK, LEET, LOOK_ALIKE, PLAIN, SYMBOL, Reading, leet_form, may_be_disguised
from evidence.runs import Run, ends_word, runs_of, starts_word
from evidence.term_list import Term, as_term

MIN_LEET_LETTERS = 3
"""Shorter terms are not looked for in LEET, where any two digits would be one."""

_SIMPLE = re.compile("[A-Za-z]+(?: [A-Za-z]+)*")  # most terms: for these the words need no folding


@dataclass(frozen=True, slots=True)
class Match:
    """A prohibited term that was found, with its policy category."""

    category: str
    term: str


def has_word_breaks(letters: str) -> bool:
    """Whether the script puts spaces between words: true below the CJK blocks, and for Hangul."""
    return all(c < "\u2e80" or "\u1100" <= c <= "\u11ff" for c in letters)


def counts(reading: Reading, scripts: int) -> bool:
    """Whether a term counts in a reading where it is made of letters of these scripts.

    Beside PLAIN it counts only where it mixes scripts, and in LEET only where it mixes symbols and letters. A word that
    is wholly of another script is a word of that script, even where it looks like a term.
    """
    if reading == PLAIN:
        return True
    if reading == LEET and not scripts & SYMBOL:
        return False
    return scripts.bit_count() >= 2


class Forms(NamedTuple):
    """The spellings of a term that are searched for.

    plain: folded letters; the term's own spelling comes first.
    readings: each spelling, with the bits 1 << Reading of the readings in which it counts. A LEET spelling has a space
        between words.
    anywhere: whether the term counts inside of words, too, as in scripts without spaces.
    """

    plain: str
    readings: dict[str, int]
    anywhere: bool


def forms_of(term: Term) -> Forms:
    """Return the spellings of a term. Look-alikes, LEET and inflections are for scripts with spaces.

    Raises:
        TermListError: the term has no letter or digit.
    """
    words = _words_of(term.text)
    plain = "".join(words)
    if not plain:
        raise TermListError(f"the prohibited term {term.text!r} has no letter or digit; remove it")
    if not has_word_breaks(plain):
        return Forms(plain, {plain: 1 << PLAIN}, anywhere=True)
    seen = plain if term.text.isascii() else spelling_of(runs_of(term.text, LOOK_ALIKE), LOOK_ALIKE)
    leet = _leet_spelling(term.text, words) if term.leet else None
    # These are of ASCII letters, so alike in all readings, unless a symbol behind the last word looks like a letter.
    inflections = inflected(words[-1], term.inflections) if seen.endswith(words[-1]) else ()
    readings: dict[str, int] = {}
    last = len(words[-1])
    for word in (None, *inflections):
        for reading, spelling in ((PLAIN, plain), (LOOK_ALIKE, seen), (LEET, leet)):
            if spelling is not None:
                if word:
                    spelling = spelling[:-last] + (leet_form(word) if reading == LEET else word)
                readings[spelling] = readings.get(spelling, 0) | 1 << reading
    return Forms(plain, readings, anywhere=False)


def _words_of(text: str) -> list[str]:
    if _SIMPLE.fullmatch(text):
        return text.lower().split(" ")
    return [run.letters for run in runs_of(text, PLAIN) if run.letters]


def _leet_spelling(text: str, words: Sequence[str]) -> str | None:
    """Return the spelling of a term in LEET, None where it is too short, or has digits: "s5" is not "5s"."""
    if sum(map(len, words)) < MIN_LEET_LETTERS:
        return None
    if _SIMPLE.fullmatch(text):
        return leet_form(" ".join(words))
    runs = runs_of(text, LEET)
    return None if any(run.scripts & SYMBOL for run in runs) else spelling_of(runs, LEET)


def spelling_of(runs: Sequence[Run], reading: Reading) -> str:
    """Return the letters of some runs one behind the other; in LEET with a space between words."""
    if reading != LEET:
        return "".join([run.letters for run in runs])
    pieces: list[str] = []
    before = BREAK
    for run in runs:
        if pieces and run.letters and starts_word(reading, run, before):
            pieces.append(" ")
        pieces.append(run.letters)
        before = run.kind
    return "".join(pieces)


class _Edges:
    """Where words start and end in the spelling of a text."""

    def __init__(self, runs: Sequence[Run], reading: Reading) -> None:
        self._runs, self._reading = runs, reading
        self._started: dict[int, int] = {}  # place of a first letter -> its run
        self._ended: dict[int, int] = {}  # place behind a last letter -> the run behind it
        length, before = 0, BREAK
        for index, run in enumerate(runs):
            if ends_word(reading, run, before):
                self._ended[length] = index
            if not run.letters:
                return
            if starts_word(reading, run, before):
                length += reading == LEET and length > 0
                self._started[length] = index
            length += len(run.letters)
            before = run.kind
        self._ended[length] = len(runs)

    def is_term(self, start: int, end: int) -> bool:
        """Whether a spelling of a term counts at this place: it is whole words, and disguised where that is needed."""
        first, behind = self._started.get(start), self._ended.get(end)
        if first is None or behind is None:
            return False
        scripts = 0
        for run in self._runs[first:behind]:
            scripts |= run.scripts
        return counts(self._reading, scripts)


class ProhibitedTerms:
    """A compiled list of prohibited terms; lists of 100,000 build in seconds and match in microseconds.

    The work to search a text grows linearly with its length. A character folds to 18 letters at most.
    """

    def __init__(self, terms: Iterable[tuple[str, str] | Term]) -> None:
        """Compile terms, or (category, term) pairs with the default options.

        Raises:
            TermListError: a term has no letter or digit.
        """
        self._automaton = ahocorasick.Automaton()
        self._leet = self._look_alikes = False
        self._found: list[Match] = []
        entries: dict[str, tuple[int, int, bool, int]] = {}  # length, readings, anywhere, place in self._found
        distinct = set()
        for place, entry in enumerate(terms):
            term = as_term(entry)
            plain, readings, anywhere = forms_of(term)
            distinct.add(plain)
            self._found.append(Match(term.category, term.text))
            if not anywhere:
                self._leet |= term.leet
                self._look_alikes |= not readings[plain] >> LOOK_ALIKE & 1
            for letters, bits in readings.items():
                _, known, _, first = entries.get(letters, (0, 0, False, place))
                entries[letters] = (len(letters), known | bits, anywhere, first)
        for letters, value in entries.items():
            self._automaton.add_word(letters, value)
        self._size = len(distinct)
        if self._size:
            self._automaton.make_automaton()

    def __len__(self) -> int:
        """Return the number of terms; spellings that fold to the same count once."""
        return self._size

    def find(self, text: str) -> Match | None:
        """Return a prohibited term of the text, the first one of its plain reading where there is one, or None."""
        if not self._size:
            return None
        return next((match for reading in self._readings(text) for match in self._matches(text, reading)), None)

    def _readings(self, text: str) -> Iterator[Reading]:
        """Return the readings in which there can be a term."""
        yield PLAIN
        # Behind the first test: where each spelling is the same in both readings, a text needs a look-alike of its own.
        if not text.isascii() and (self._look_alikes or may_be_disguised(text, LOOK_ALIKE)):
            yield LOOK_ALIKE
        if self._leet and may_be_disguised(text, LEET):
            yield LEET

    def _matches(self, text: str, reading: Reading) -> Iterator[Match]:
        runs = runs_of(text, reading)
        edges = None
        for last, (length, readings, anywhere, place) in self._automaton.iter(spelling_of(runs, reading)):
            if not readings >> reading & 1:
                continue
            if not anywhere:
                edges = edges or _Edges(runs, reading)
                if not edges.is_term(last + 1 - length, last + 1):
                    continue
            yield self._found[place]
