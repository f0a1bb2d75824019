"""Prohibited terms, held against the text of a beam token by token.

Terms are text, the search writes tokens, and the same text has many segmentations, cases and spacings. So a beam
carries how far its text has got into each term, under the folding and the word rule of `evidence.safety`, and every
token moves that on by its letters. A text that has no state any more is one that is prohibited however it goes on:
"vape" alone is not, as "vaper" may follow; with a break behind it, it is.

The states and moves that are met are kept, as a lazy DFA over tokens: a known move is one look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import ahocorasick
from tokenizers import Tokenizer

from evidence.errors import TermListError
from evidence.safety import has_word_breaks, skeleton_of
from generation.constraints.token_text import read_bytes, token_bytes

MOVES_KEPT = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class TextState:
    """What of a text decides how it may go on. Never changed but for the moves that are remembered.

    words: beginnings of terms that the text ends in, each from the start of a word.
    anywhere: the same of terms in scripts without spaces, from any letter.
    at_start: whether a next letter starts a word.
    ends_in_term: a whole term stands at the end, and counts unless a letter follows: the text may not end here.
    tail: bytes of a character that is not yet complete.
    moves: the states after the tokens that were met so far.
    """

    words: tuple[str, ...]
    anywhere: tuple[str, ...]
    at_start: bool
    ends_in_term: bool
    tail: bytes
    moves: dict[int, TextState | None] = field(default_factory=dict)


class PhraseMatcher:
    """A compiled list of prohibited terms over one tokenizer. To be used from one thread at a time.

    token_bytes: what each token adds to the text; empty for special tokens.
    readings: the same as runs of letters, behind a text that ends in a whole character.
    prohibited_alone: tokens that hold a whole term without word breaks, prohibited behind any text.
    """

    def __init__(
        self,
        terms: Iterable[tuple[str, str]],
        tokenizer: Tokenizer,
        vocab_size: int | None = None,
        moves_kept: int = MOVES_KEPT,
    ) -> None:
        """Compile (category, term) pairs, as `evidence.safety.load_terms` reads them.

        Args:
            terms: pairs.
            tokenizer: a byte-level one.
            vocab_size: the model's, where it is over the tokenizer's.
            moves_kept: moves after which the DFA is begun anew, which bounds its memory.

        Raises:
            ConstraintError: the tokenizer is not byte-level.
            TermListError: a term has no letter or digit.
        """
        self.token_bytes = token_bytes(tokenizer, vocab_size or tokenizer.get_vocab_size())
        self.readings = [read_bytes(added) for added in self.token_bytes]
        # Kept as tries: a beam follows prefixes of its own, so there is nothing for failure links to do.
        self._words = ahocorasick.Automaton()
        self._anywhere = ahocorasick.Automaton()
        for _, term in terms:
            letters, _ = skeleton_of(term)
            if not letters:
                raise TermListError(f"the prohibited term {term!r} has no letter or digit; remove it")
            (self._words if has_word_breaks(letters) else self._anywhere).add_word(letters, True)
        self._first_letters = frozenset(letters[0] for letters in self._anywhere)
        self._states: dict[tuple[tuple[str, ...], tuple[str, ...], bool, bool, bytes], TextState] = {}
        self._moves_kept = moves_kept
        self._moves = 0
        self.start = self._state((), (), True, False, b"")
        self.prohibited_alone = frozenset(
            token
            for token, reading in enumerate(self.readings)
            if any(self._follow((), letters) is None for _, letters in reading.runs)
        )

    def __len__(self) -> int:
        return len(self._words) + len(self._anywhere)

    def move(self, state: TextState, token_id: int) -> TextState | None:
        """Return the state after one more token, or None where the text is prohibited however it goes on.

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
        runs = self.readings[token_id].runs
        if state.tail or len(runs) > 1:
            return self.move(state, token_id) is None
        if not runs:
            return False
        separated, letters = runs[0]
        if (separated and state.ends_in_term) or token_id in self.prohibited_alone:
            return True
        for before in state.anywhere:
            for end in range(1, len(letters) + 1):
                text = before + letters[:end]
                if not self._anywhere.match(text):
                    break
                if text in self._anywhere:
                    return True
        return False

    def _moved(self, state: TextState, token_id: int) -> TextState | None:
        reading = read_bytes(self.token_bytes[token_id], state.tail) if state.tail else self.readings[token_id]
        words, anywhere = state.words, state.anywhere
        at_start, ends_in_term = state.at_start, state.ends_in_term
        for separated, letters in reading.runs:
            if separated:
                if ends_in_term:
                    return None
                at_start = True
            if not letters:
                continue
            # A term that would end within the run has a letter behind it there, so it is none.
            longer = [before + letters for before in words]
            if at_start:
                longer.append(letters)
            words = tuple([text for text in longer if self._words.match(text)])
            ends_in_term = any(text in self._words for text in words)
            at_start = False
            following = self._follow(anywhere, letters)
            if following is None:
                return None
            anywhere = following
        return self._state(words, anywhere, at_start, ends_in_term, reading.tail)

    def _follow(self, anywhere: tuple[str, ...], letters: str) -> tuple[str, ...] | None:
        """Move beginnings of terms without word breaks on by some letters; None where a term is completed."""
        if not anywhere and self._first_letters.isdisjoint(letters):
            return anywhere
        begun = list(anywhere)
        for letter in letters:
            begun.append("")
            longer = [before + letter for before in begun]
            begun = [text for text in longer if self._anywhere.match(text)]
            for text in begun:
                if text in self._anywhere:
                    return None
        return tuple(begun)

    def _state(
        self, words: tuple[str, ...], anywhere: tuple[str, ...], at_start: bool, ends_in_term: bool, tail: bytes
    ) -> TextState:
        key = (words, anywhere, at_start, ends_in_term, tail)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = TextState(*key)
        return state

    def _forget(self) -> None:
        """Begin the DFA anew. Moves are cut one by one, as they make cycles."""
        for state in self._states.values():
            state.moves.clear()
        self._states.clear()
        self._states[(), (), True, False, b""] = self.start
        self._moves = 0
