"""The logits processor that keeps prohibited phrases from being written.

For most beams no term is complete: then the same tokens are forbidden behind all of them, those that are prohibited in
themselves. For the others a token is tested when it is a candidate, because thousands may be forbidden (every one that
begins with a break, behind a whole term) and few of these are ever likely.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from tokenizers import Tokenizer

from evidence.term_list import Term
from generation.bundle import Bundle
from generation.constraints.phrases import PhraseMatcher, TextState
from generation.logits_processors import Allowed, Banned, Filtered, Restriction

_MOST_BANS = 32
"""More bans than this are asked for candidate by candidate instead of listed."""

_NOTHING = Allowed(np.zeros(0, np.int64))


class ProhibitedPhrases:
    """Forbids exactly the texts in which `evidence.safety.ProhibitedTerms` finds a term, to hypotheses that end.

    Compile it once and pass it to every request; to be used from one thread at a time. A hypothesis that
    `max_new_tokens` cuts may end in a term that a further letter would make another word: it is no query.
    """

    name = "prohibited_phrases"

    def __init__(
        self, terms: Iterable[tuple[str, str] | Term], tokenizer: Tokenizer, eos_token_id: int, vocab_size: int
    ) -> None:
        """Compile terms, as `PhraseMatcher` does, which also says what is raised."""
        self._matcher = PhraseMatcher(terms, tokenizer, vocab_size)
        self._eos = eos_token_id
        # A break behind letters in one token may end a term that was begun before it; such tokens are rare.
        self._breaks_in_tokens = bool(self._matcher.breaking)
        self._alone: Restriction = None
        if bans := self._matcher.prohibited_alone:
            self._alone = Banned(bans) if len(bans) <= _MOST_BANS else Filtered(bans.__contains__)

    @classmethod
    def of_bundle(cls, terms: Iterable[tuple[str, str] | Term], bundle: Bundle) -> ProhibitedPhrases:
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
        """See `LogitsProcessor`. None is the state of a text whose every continuation is prohibited."""
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
