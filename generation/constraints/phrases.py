"""Prohibited terms, compared with the text of a beam token by token.

Terms are text, the search writes tokens, and the same text has many segmentations, cases and spacings. So the state of
a beam says how much of each term its text ends in, under the folding and the word rule of `evidence.safety`, and every
token moves that on by its letters, in each reading of the text. A text that is prohibited whatever follows has no
state: "vape" still has one, as "vaper" may follow; "vape" and a space has none.

The states and moves that are met are kept, as a lazy DFA over tokens: a known move is one look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import ahocorasick
from tokenizers import Tokenizer

from evidence.readings import BREAK, LATIN, LEET, LOOK_ALIKE, PLAIN, READINGS, Kind, Reading
from evidence.runs import Run, ends_word, starts_word
from evidence.safety import counts, forms_of
from evidence.term_list import Term, as_term
from generation.constraints.token_text import read_bytes, token_bytes

MOVES_KEPT = 200_000

Beginning = tuple[str, int]
"""The first letters of a term that a text ends in, and the scripts that they are written in."""


class WordState(NamedTuple):
    """How far a text has got into terms of words, in one reading.

    beginnings: of terms, each from the start of a word.
    before: the kind of the last letter.
    ends_in_term: a whole term stands at the end, and counts unless the word goes on: the text may not end here.
    """

    beginnings: tuple[Beginning, ...] = ()
    before: Kind = BREAK
    ends_in_term: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TextState:
    """What of a text decides how it may go on. Never changed but for the moves that are remembered.

    words: for each reading that matters to the list, terms in scripts with spaces. None for LOOK_ALIKE where it follows
        from PLAIN, as in most texts: see `_as_look_alike`.
    anywhere: beginnings of terms in scripts without spaces, from any letter.
    tail: bytes of a character that is not yet complete.
    ends_in_term: whether a whole term stands at the end in one of the readings.
    moves: the states after the tokens that were met so far.
    """

    words: tuple[WordState | None, ...]
    anywhere: tuple[str, ...]
    tail: bytes
    ends_in_term: bool
    moves: dict[int, TextState | None] = field(default_factory=dict)


_START = WordState()


def _as_look_alike(plain: WordState) -> WordState:
    """Return the state in LOOK_ALIKE of a text of Latin letters and digits alone, by its state in PLAIN."""
    return WordState(
        tuple([(letters, 0 if letters.isdigit() else LATIN) for letters, _ in plain.beginnings]), plain.before
    )


class PhraseMatcher:
    """A compiled list of prohibited terms over one tokenizer. To be used from one thread at a time.

    token_bytes: what each token adds to the text; empty for special tokens.
    added: the same as runs of letters, behind a text that ends in a whole character.
    prohibited_alone: tokens that hold a whole term without word breaks, prohibited behind any text.
    breaking: tokens that hold several runs of letters, so that a term may end inside of them.
    """

    def __init__(
        self,
        terms: Iterable[tuple[str, str] | Term],
        tokenizer: Tokenizer,
        vocab_size: int | None = None,
        moves_kept: int = MOVES_KEPT,
    ) -> None:
        """Compile terms, as `evidence.safety.ProhibitedTerms` takes them.

        Args:
            terms: `evidence.term_list.Term`, or (category, term) pairs with the default options.
            tokenizer: a byte-level one.
            vocab_size: the model's, where it is over the tokenizer's.
            moves_kept: moves after which the DFA is begun anew, which bounds its memory.

        Raises:
            ConstraintError: the tokenizer is not byte-level.
            TermListError: a term has no letter or digit.
        """
        self.token_bytes = token_bytes(tokenizer, vocab_size or tokenizer.get_vocab_size())
        self.added = [read_bytes(added) for added in self.token_bytes]
        # Kept as tries: a beam follows prefixes of its own, so there is nothing for failure links to do.
        self._words = ahocorasick.Automaton()
        self._anywhere = ahocorasick.Automaton()
        distinct = set()
        leet = False
        for entry in terms:
            term = as_term(entry)
            forms = forms_of(term)
            distinct.add(forms.plain)
            leet |= term.leet and not forms.anywhere
            for letters, readings in forms.readings.items():
                if forms.anywhere:
                    self._anywhere.add_word(letters, True)
                else:
                    self._words.add_word(letters, readings | self._words.get(letters, 0))
        self._size = len(distinct)
        self._readings = READINGS if leet else (PLAIN, LOOK_ALIKE)
        self._first_letters = frozenset(letters[0] for letters in self._anywhere)
        self._states: dict[tuple[tuple[WordState | None, ...], tuple[str, ...], bytes], TextState] = {}
        self._moves_kept = moves_kept
        self._moves = 0
        self.start = self._state((WordState(), None, WordState())[: len(self._readings)], (), b"")
        self.prohibited_alone = frozenset(
            token for token, added in enumerate(self.added) if self._follow((), added.runs[PLAIN]) is None
        )
        self.breaking = frozenset(
            token
            for token, added in enumerate(self.added)
            if any(len(added.runs[reading]) > 1 for reading in self._readings)
        )

    def __len__(self) -> int:
        return self._size

    def move(self, state: TextState, token_id: int) -> TextState | None:
        """Return the state after one more token, or None where the text is prohibited whatever follows.

        The end-of-sequence token has no text: see `TextState.ends_in_term`.
        """
        if token_id in state.moves:
            return state.moves[token_id]
        if self._moves >= self._moves_kept:
            self._forget()
        self._moves += 1
        after = state.moves[token_id] = self._moved(state, token_id)
        return after

    def prohibits(self, state: TextState, token_id: int) -> bool:
        """Whether `move` gives None, for tokens that are only candidates: most need no state made for them."""
        if state.tail or token_id in self.breaking:
            return self.move(state, token_id) is None
        if token_id in self.prohibited_alone:
            return True
        runs = self.added[token_id].runs
        if state.ends_in_term:
            for reading, words in zip(self._readings, state.words, strict=True):
                if (
                    words
                    and words.ends_in_term
                    and runs[reading]
                    and ends_word(reading, runs[reading][0], words.before)
                ):
                    return True
        return bool(state.anywhere) and self._follow(state.anywhere, runs[PLAIN]) is None

    def _moved(self, state: TextState, token_id: int) -> TextState | None:
        added = read_bytes(self.token_bytes[token_id], state.tail) if state.tail else self.added[token_id]
        anywhere = self._follow(state.anywhere, added.runs[PLAIN])
        if anywhere is None:
            return None
        runs = added.runs
        plain = self._follow_words(PLAIN, state.words[PLAIN] or _START, runs[PLAIN])
        if plain is None:
            return None
        words: tuple[WordState | None, ...] = (plain, None)
        look_alike = state.words[LOOK_ALIKE]
        if look_alike or not added.is_latin:
            before = look_alike or _as_look_alike(state.words[PLAIN] or _START)
            look_alike = self._follow_words(LOOK_ALIKE, before, runs[LOOK_ALIKE])
            if look_alike is None:
                return None
            if look_alike != _as_look_alike(plain):
                words = (plain, look_alike)
        if LEET in self._readings:
            leet = self._follow_words(LEET, state.words[LEET] or _START, runs[LEET])
            if leet is None:
                return None
            words = (*words, leet)
        return self._state(words, anywhere, added.tail)

    def _follow_words(self, reading: Reading, state: WordState, runs: Sequence[Run]) -> WordState | None:
        """Move beginnings of terms of words on by some runs; None where a term is completed."""
        beginnings, before, ends_in_term = state
        begins, readings_of = self._words.match, self._words.get
        for run in runs:
            if ends_in_term and ends_word(reading, run, before):
                return None
            if not run.letters:
                before = BREAK
                continue
            starts = starts_word(reading, run, before)
            added = f" {run.letters}" if starts and reading == LEET else run.letters
            longer = [(letters + added, scripts) for letters, scripts in beginnings]
            if starts:
                longer.append((run.letters, 0))
            kept = []
            # A term that would end within the run has a letter behind it there, so it is none.
            ends_in_term = False
            for letters, scripts in longer:
                if begins(letters):
                    if reading != PLAIN:
                        scripts |= run.scripts
                    kept.append((letters, scripts))
                    if readings_of(letters, 0) >> reading & 1 and counts(reading, scripts):
                        ends_in_term = True
            beginnings, before = tuple(kept), run.kind
        return WordState(beginnings, before, ends_in_term)

    def _follow(self, anywhere: tuple[str, ...], runs: Sequence[Run]) -> tuple[str, ...] | None:
        """Move beginnings of terms without word breaks on by some runs; None where a term is completed."""
        for run in runs:
            if not anywhere and self._first_letters.isdisjoint(run.letters):
                continue
            begun = list(anywhere)
            for letter in run.letters:
                begun.append("")
                longer = [before + letter for before in begun]
                begun = [text for text in longer if self._anywhere.match(text)]
                for text in begun:
                    if text in self._anywhere:
                        return None
            anywhere = tuple(begun)
        return anywhere

    def _state(self, words: tuple[WordState | None, ...], anywhere: tuple[str, ...], tail: bytes) -> TextState:
        key = (words, anywhere, tail)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = TextState(*key, any(each.ends_in_term for each in words if each))
        return state

    def _forget(self) -> None:
        """Begin the DFA anew. Moves are cut one by one, as they make cycles."""
        for state in self._states.values():
            state.moves.clear()
        self._states.clear()
        self._states[self.start.words, self.start.anywhere, self.start.tail] = self.start
        self._moves = 0
