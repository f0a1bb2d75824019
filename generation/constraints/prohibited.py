"""The logits processor that keeps prohibited phrases from being written.

What may not follow a beam is found from what its text ends in, without asking of the whole vocabulary, and remembered.
Most beams stand where no term is begun and none is complete: behind all of them the same tokens are out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from tokenizers import Tokenizer

from generation.bundle import Bundle
from generation.constraints.phrases import PhraseMatcher, TextState
from generation.constraints.token_text import begins_inside_a_character
from generation.logits_processors import Allowed, Banned, Restriction

_NOTHING = Allowed(np.zeros(0, np.int64))


class ProhibitedPhrases:
    """Lets no prohibited term into any hypothesis that ends itself, and keeps nothing out that is innocent.

    Compile it once and hand it to every request; to be used from one thread at a time. A hypothesis that
    `max_new_tokens` cuts may end in a term of which it is not yet known whether it is a whole word: it is no query.
    """

    def __init__(
        self, terms: Iterable[tuple[str, str]], tokenizer: Tokenizer, eos_token_id: int, vocab_size: int
    ) -> None:
        """Compile (category, term) pairs; see `PhraseMatcher`, which also says what is raised."""
        matcher = PhraseMatcher(terms, tokenizer, vocab_size)
        self._matcher = matcher
        self._eos = eos_token_id
        self._vocab_size = vocab_size
        with_text = [token for token, added in enumerate(matcher.token_bytes) if added]
        self._inside = [token for token in with_text if begins_inside_a_character(matcher.token_bytes[token])]
        self._outside = frozenset(with_text).difference(self._inside)
        runs_of = [reading.runs for reading in matcher.readings]
        self._breaking = frozenset(token for token, runs in enumerate(runs_of) if runs and runs[0][0])
        # A break behind letters in one token may end a term that was begun before it; such tokens are rare.
        self._broken = [token for token, runs in enumerate(runs_of) if len(runs) > 1]
        self._beginning: dict[str, list[int]] = {}
        for token, runs in enumerate(runs_of):
            if len(runs) == 1:
                letters = runs[0][1]
                for end in range(1, len(letters) + 1):
                    self._beginning.setdefault(letters[:end], []).append(token)
        self._alone = Banned(matcher.prohibited_alone) if matcher.prohibited_alone else None
        self._behind_a_beginning = lru_cache(maxsize=20_000)(self._bans)
        self._behind_a_term = lru_cache(maxsize=256)(self._kept)  # each holds nearly half of the vocabulary

    @classmethod
    def of_bundle(cls, terms: Iterable[tuple[str, str]], bundle: Bundle) -> ProhibitedPhrases:
        """Compile terms over the tokenizer of a bundle.

        Raises:
            ConstraintError: the tokenizer is not byte-level.
            TermListError: a term has no letter or digit.
        """
        return cls(terms, bundle.tokenizer, bundle.special_tokens.eos, bundle.architecture.vocab_size)

    def __len__(self) -> int:
        return len(self._matcher)

    def restrict(self, prefixes: Sequence[tuple[int, ...]]) -> list[Restriction]:
        """Return for each open beam which tokens may follow it; see `LogitsProcessor`."""
        return [self._restriction(self._matcher.after(prefix)) for prefix in prefixes]

    def _restriction(self, state: TextState | None) -> Restriction:
        if state is None:
            return _NOTHING
        if state.ends_in_term:
            return self._behind_a_term(state)
        if state.anywhere or state.tail or self._broken:
            return self._behind_a_beginning(state)
        return self._alone

    def _bans(self, state: TextState) -> Banned | None:
        bans = self._completing(state)
        return Banned(frozenset(bans)) if bans else None

    def _kept(self, state: TextState) -> Allowed:
        bans = self._completing(state)
        bans.add(self._eos)
        # An incomplete character stays so before any token that does not go on with it, and so is a break.
        bans |= self._outside if state.tail else self._breaking
        kept = np.ones(self._vocab_size, np.bool_)
        kept[list(bans)] = False
        return Allowed(np.flatnonzero(kept))

    def _completing(self, state: TextState) -> set[int]:
        """Return the tokens that complete a term, but for those that only put a break behind one."""
        bans = set(self._matcher.prohibited_alone)
        for before in state.anywhere:
            for letters in self._matcher.endings(before):
                bans.update(self._beginning.get(letters, ()))
        one_by_one = self._broken
        if state.tail:
            bans.difference_update(self._inside)  # what these add, the bytes before them decide
            one_by_one = self._broken + self._inside
        bans.update(token for token in one_by_one if self._matcher.prohibits(state, token))
        return bans
