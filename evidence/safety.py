"""Prohibited terms: one matcher for the safety rules of training data and for the filter before exposure.

Upper case, full-width letters, accents, spaces, punctuation and zero-width characters between letters do not hide a
term ("v a p e", "ＶＡＰＥ", "va\\u200bpe"), while a word that merely contains one ("Essex") is left alone: in scripts
with spaces a match must start where a word starts and end where a word ends.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ahocorasick

from evidence.errors import TermListError


@dataclass(frozen=True, slots=True)
class Match:
    """A prohibited term that was found, with the policy category that it stands under."""

    category: str
    term: str


def skeleton_of(text: str) -> tuple[str, list[bool]]:
    """Return the letters and digits alone, folded, and for each whether something stood before it that is neither."""
    letters: list[str] = []
    starts: list[bool] = []
    at_start = True
    for character in unicodedata.normalize("NFKD", text.casefold()):
        category = unicodedata.category(character)
        if category[0] in "LN":
            for folded in character.casefold():
                letters.append(folded)
                starts.append(at_start)
                at_start = False
        elif category not in ("Mn", "Cf"):
            at_start = True
    return "".join(letters), starts


def has_word_breaks(skeleton: str) -> bool:
    """Whether the script puts spaces between words: true below the CJK blocks, and for Hangul."""
    return all(c < "\u2e80" or "\u1100" <= c <= "\u11ff" for c in skeleton)


class ProhibitedTerms:
    """A compiled list of prohibited terms; lists of 100,000 build in about a second and match in microseconds."""

    def __init__(self, terms: Iterable[tuple[str, str]]) -> None:
        """Compile (category, term) pairs. A term without a letter or digit is refused with TermListError."""
        self._automaton = ahocorasick.Automaton()
        for category, term in terms:
            skeleton, _ = skeleton_of(term)
            if not skeleton:
                raise TermListError(f"the prohibited term {term!r} has no letter or digit; remove it")
            self._automaton.add_word(skeleton, (len(skeleton), has_word_breaks(skeleton), Match(category, term)))
        if len(self._automaton):
            self._automaton.make_automaton()

    def __len__(self) -> int:
        return len(self._automaton)

    def find(self, text: str) -> Match | None:
        """Return the first prohibited term in the text, or None."""
        return next(self._matches(text), None)

    def _matches(self, text: str) -> Iterator[Match]:
        if not len(self._automaton):
            return
        skeleton, starts = skeleton_of(text)
        for end, (length, word_breaks, match) in self._automaton.iter(skeleton):
            after = end + 1
            whole = starts[after - length] and (after == len(skeleton) or starts[after])
            if whole or not word_breaks:
                yield match


def load_terms(path: Path) -> list[tuple[str, str]]:
    """Read (category, term) pairs from a UTF-8 file of `category<TAB>term` lines; `#` starts a comment line.

    Raises:
        TermListError: the file is missing, is not UTF-8, or a line has another form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TermListError(f"cannot read the list of prohibited terms {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TermListError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        category, tab, term = line.partition("\t")
        if not tab or not category.strip() or not term.strip():
            raise TermListError(f"{path}, line {number}: expected category<TAB>term, got {line!r}")
        pairs.append((category.strip(), term.strip()))
    return pairs
