"""The logits processor that keeps prohibited phrases from being written.

Most beams stand where no term is begun and none is complete: then the same tokens are out behind all of them, those
that are prohibited in themselves. Behind the others a token is looked at when it is a candidate, as there may be
thousands that are out (every one that begins with a break, behind a whole term) and of these few are ever likely.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from tokenizers import Tokenizer

from generation.bundle import Bundle
from generation.constraints.phrases import PhraseMatcher, TextState
from generation.logits_processors import Allowed, Banned, Filtered, Restriction

_MOST_BANS = 32
"""More bans than this are asked for candidate by candidate instead of listed."""

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
        self._matcher = PhraseMatcher(terms, tokenizer, vocab_size)
        self._eos = eos_token_id
        # A break behind letters in one token may end a term that was begun before it; such tokens are rare.
        self._breaks_in_tokens = any(len(reading.runs) > 1 for reading in self._matcher.readings)
        self._alone: Restriction = None
        if bans := self._matcher.prohibited_alone:
            self._alone = Banned(bans) if len(bans) <= _MOST_BANS else Filtered(bans.__contains__)

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

    def begin(self) -> TextState:
        """See `LogitsProcessor`."""
        return self._matcher.start

    def follow(
        self, states: Sequence[TextState | None], beam_indices: Sequence[int], tokens: Sequence[int]
    ) -> list[TextState | None]:
        """See `LogitsProcessor`. None is the state of what is prohibited however it goes on."""
        following = []
        for beam, token in zip(beam_indices, tokens, strict=True):
            state = states[beam]
            following.append(state and (state.moves.get(token) or self._matcher.move(state, token)))
        return following

    def restrict(self, states: Sequence[TextState | None]) -> list[Restriction]:
        """Return for each open beam which tokens may follow it; see `LogitsProcessor`."""
        return [self._restriction(state) for state in states]

    def _restriction(self, state: TextState | None) -> Restriction:
        if state is None:
            return _NOTHING
        if state.anywhere or state.tail or state.ends_in_term or self._breaks_in_tokens:
            return Filtered(partial(self._forbids, state))
        return self._alone

    def _forbids(self, state: TextState, token_id: int) -> bool:
        if token_id == self._eos:
            return state.ends_in_term
        return self._matcher.prohibits(state, token_id)
