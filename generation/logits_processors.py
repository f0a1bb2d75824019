"""Constraints of a search: what may not follow, beam by beam, before each step.

A forbidden token counts as having log-probability minus infinity after the log-softmax; nothing is renormalised, as in
transformers. The end of a sequence is a token like any other here.

Most constraints forbid little. What they forbid is dropped from the candidates of the graph, of which more come than a
search needs; only where that might not be enough are a request's log-probabilities read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from generation.bundle import SpecialTokens
from generation.options import GenerationOptions

Predicate = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Banned:
    """These tokens must not continue a beam."""

    token_ids: frozenset[int]


@dataclass(slots=True)  # not frozen, as eight are made at a step and that doubles what one costs
class Allowed:
    """Only these tokens may continue a beam: integers, rising, each once. An empty set ends the beam without a result.

    forbids: those among them that may not all the same, asked as in Filtered.
    """

    token_ids: NDArray[np.integer[Any]]
    forbids: Predicate | None = None


@dataclass(frozen=True, slots=True)
class Filtered:
    """Of what may continue a beam, nothing that `forbids` says yes to.

    It is asked of candidates alone, the likeliest first: for constraints that forbid too much to list it. It must
    always give the same answer, in far less than a microsecond.
    """

    forbids: Predicate


Restriction = Banned | Allowed | Filtered | None

# States of the open beams, log-probabilities [B, vocab_size], sums of the open beams, how many are wanted -> their best
# continuations that are allowed, as `Candidates` in candidates.py; of equal ones the lower beam's and token first.
Rank = Callable[[Sequence[Any], NDArray[np.float32], Sequence[float], int], tuple[list[float], list[int], list[int]]]


class LogitsProcessor(Protocol):
    """A constraint on requests: an automaton over tokens, of which every beam has a state.

    It keeps nothing of a request itself, so one object serves many. A state may be anything, and is never changed.

    One that is quicker at finding the best continuations than at saying what may continue has an attribute `rank`, a
    `Rank`, besides. It is asked where no other binds the request.
    """

    def begin(self) -> Any:
        """Return the state of a beam without tokens."""

    def follow(self, states: Sequence[Any], beam_indices: Sequence[int], tokens: Sequence[int]) -> Sequence[Any] | None:
        """Return the states of the open beams after a step; None where nothing will be forbidden any more.

        Args:
            states: of the beams that were open before.
            beam_indices: which of them each open beam continues.
            tokens: the token that it added.
        """

    def restrict(self, states: Sequence[Any]) -> Sequence[Restriction]:
        """Say what may continue each open beam; None where everything may."""


@dataclass(frozen=True, slots=True)
class MinNewTokens:
    """No end before a number of tokens, at least one. A beam's state is its length."""

    minimum: int
    eos_token_id: int

    def begin(self) -> int:
        """See `LogitsProcessor`."""
        return 0

    def follow(self, states: Sequence[int], beam_indices: Sequence[int], tokens: Sequence[int]) -> list[int] | None:
        """See `LogitsProcessor`."""
        length = states[0] + 1
        return [length] * len(tokens) if length < self.minimum else None

    def restrict(self, states: Sequence[int]) -> Sequence[Restriction]:
        """Forbid the end to all beams: those that are followed are too short."""
        return [Banned(frozenset((self.eos_token_id,)))] * len(states)


@dataclass(frozen=True, slots=True)
class NoRepeatNgrams:
    """No sequence of `size` tokens twice. A beam's state is its tokens.

    start: the decoder's first token, which counts, as in transformers.
    """

    size: int
    start: int

    def begin(self) -> tuple[int, ...]:
        """See `LogitsProcessor`."""
        return (self.start,)

    def follow(
        self, states: Sequence[tuple[int, ...]], beam_indices: Sequence[int], tokens: Sequence[int]
    ) -> list[tuple[int, ...]]:
        """See `LogitsProcessor`."""
        return [(*states[beam], token) for beam, token in zip(beam_indices, tokens, strict=True)]

    def restrict(self, states: Sequence[tuple[int, ...]]) -> Sequence[Restriction]:
        """Forbid every token that would repeat an n-gram of its beam."""
        return [self._banned(tokens) for tokens in states]

    def _banned(self, tokens: tuple[int, ...]) -> Restriction:
        known = self.size - 1  # tokens of the n-gram that the next token would complete
        if len(tokens) < self.size:
            return None
        last = tokens[len(tokens) - known :]
        repeats = frozenset(tokens[end] for end in range(known, len(tokens)) if tokens[end - known : end] == last)
        return Banned(repeats) if repeats else None


def from_options(options: GenerationOptions, specials: SpecialTokens) -> tuple[LogitsProcessor, ...]:
    """Return the constraints that options ask for."""
    made: list[LogitsProcessor] = []
    if options.min_new_tokens > 0:
        made.append(MinNewTokens(options.min_new_tokens, specials.eos))
    if options.no_repeat_ngram_size > 0:
        made.append(NoRepeatNgrams(options.no_repeat_ngram_size, specials.decoder_start))
    return tuple(made)


class Constraints:
    """What binds one request, and what is known of its open beams."""

    def __init__(self, processors: Sequence[LogitsProcessor]) -> None:
        """Begin with one beam that has no tokens."""
        self._known: list[tuple[LogitsProcessor, Sequence[Any]]] = [(p, (p.begin(),)) for p in processors]

    @property
    def ranks(self) -> bool:
        """Whether `rank` finds continuations, without anything having to say what is restricted."""
        return len(self._known) == 1 and self._rank_of(self._known[0][0]) is not None

    @staticmethod
    def _rank_of(processor: LogitsProcessor) -> Rank | None:
        return getattr(processor, "rank", None)

    def rank(
        self, logprobs: NDArray[np.float32], sums: Sequence[float], wanted: int
    ) -> tuple[list[float], list[int], list[int]]:
        """Return the best continuations that are allowed. Only where it `ranks`."""
        ((processor, states),) = self._known
        rank = self._rank_of(processor)
        assert rank is not None
        return rank(list(states), logprobs, sums, wanted)

    def __bool__(self) -> bool:
        """Whether anything can still be forbidden."""
        return bool(self._known)

    def follow(self, beam_indices: Sequence[int], tokens: Sequence[int]) -> None:
        """Take a step: the open beams continue these beams by these tokens."""
        known = []
        for processor, states in self._known:
            following = processor.follow(states, beam_indices, tokens)
            if following is not None:
                known.append((processor, following))
        self._known = known

    def restrictions(self) -> Sequence[Restriction]:
        """Ask all processors and combine what they say of each beam: bans are united, allowed sets intersected."""
        combined: Sequence[Restriction] = ()
        for processor, states in self._known:
            said = processor.restrict(states)
            if len(said) != len(states):
                raise ValueError(f"{processor!r} restricted {len(said)} of {len(states)} beams")
            combined = [combine(*both) for both in zip(combined, said, strict=True)] if combined else said
        return combined


def combine(first: Restriction, second: Restriction) -> Restriction:
    """Return what two restrictions of one beam leave."""
    if first is None or second is None:
        return first or second
    if isinstance(first, Banned) and isinstance(second, Banned):
        return Banned(first.token_ids | second.token_ids)
    if isinstance(first, Allowed) and isinstance(second, Allowed):
        ids = np.intersect1d(first.token_ids, second.token_ids, assume_unique=True)
        return Allowed(ids, _either(first.forbids, second.forbids))
    if isinstance(second, Allowed):
        first, second = second, first
    if isinstance(first, Allowed) and isinstance(second, Banned):
        kept = ~np.isin(first.token_ids, np.fromiter(second.token_ids, np.int64, len(second.token_ids)))
        return Allowed(first.token_ids[kept], first.forbids)
    also = _either(_unlisted(first), _unlisted(second))
    assert also is not None
    return Allowed(first.token_ids, also) if isinstance(first, Allowed) else Filtered(also)


def predicate(restriction: Restriction) -> Predicate | None:
    """Return what tells whether a token is forbidden; None where none is."""
    if not isinstance(restriction, Allowed):
        return None if restriction is None else _unlisted(restriction)
    return _either(partial(_absent, restriction.token_ids.data), restriction.forbids)


def forbids(restriction: Restriction, token_id: int) -> bool:
    """Whether a restriction forbids a token."""
    forbidden = predicate(restriction)
    return forbidden is not None and forbidden(token_id)


def _unlisted(restriction: Banned | Allowed | Filtered) -> Predicate | None:
    return restriction.token_ids.__contains__ if isinstance(restriction, Banned) else restriction.forbids


def _absent(token_ids: memoryview, token_id: int) -> bool:
    place = bisect_left(token_ids, token_id)
    return place == len(token_ids) or token_ids[place] != token_id


def _either(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    if first is None or second is None:
        return first or second
    return lambda token_id: first(token_id) or second(token_id)
