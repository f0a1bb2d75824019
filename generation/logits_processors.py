"""Constraints of a search: before each step, the tokens that must not continue each open beam.

A forbidden token has log-probability minus infinity after the log-softmax; nothing is renormalised, as in transformers.
The end of a sequence is a token like any other.

Most constraints forbid few tokens. These are removed from the candidates of the graph, which are more than a search
needs. The log-probabilities of a request are read only if too few candidates might be left (`candidates.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from generation.bundle import SpecialTokens
from generation.options import GenerationOptions

Predicate = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Banned:
    """These tokens must not continue a beam."""

    token_ids: frozenset[int]


@dataclass(slots=True)  # not frozen: eight are made at each step, and freezing doubles the cost of one
class Allowed:
    """Only these tokens may continue a beam. An empty set ends the beam without a result.

    Attributes:
        token_ids: integers in rising order, each once.
        forbids: exceptions among them, as in Filtered; None for none.
    """

    token_ids: NDArray[np.integer[Any]]
    forbids: Predicate | None = None


@dataclass(frozen=True, slots=True)
class Filtered:
    """No token that `forbids` is true for may continue a beam: for constraints that forbid too much to list it.

    Attributes:
        forbids: is called for candidates only, the most likely first. It must always return the same value for a token,
            and take far less than a microsecond.
    """

    forbids: Predicate


Restriction = Banned | Allowed | Filtered | None

# (states of the open beams, log-probabilities [B, vocab_size], sums of the open beams, number of continuations) -> the
# best continuations that are allowed, as `Candidates` in candidates.py. Equal ones are in order of beams, then tokens.
Rank = Callable[[Sequence[Any], NDArray[np.float32], Sequence[float], int], tuple[list[float], list[int], list[int]]]


class LogitsProcessor(Protocol):
    """A constraint: an automaton over tokens, in which every beam has a state.

    The object keeps nothing of a request, so one object serves many. A state may be of any type, and is never changed.
    The methods run in the engine's thread. What they raise fails their request.

    A constraint that finds the best continuations faster than it lists what may continue has an attribute `rank`, a
    `Rank`, besides. It is used if the request has no other constraint. An attribute `name` is what the record of a
    search calls the constraint; without one it is called by its class.
    """

    def begin(self) -> Any:
        """Return the state of a beam that has no tokens."""

    def follow(self, states: Sequence[Any], beam_indices: Sequence[int], tokens: Sequence[int]) -> Sequence[Any] | None:
        """Return the states of the open beams after a step; None if nothing will be forbidden from now on.

        Args:
            states: of the beams that were open before the step.
            beam_indices: for each open beam, the beam that it continues.
            tokens: for each open beam, the token that it added.
        """

    def restrict(self, states: Sequence[Any]) -> Sequence[Restriction]:
        """Return the restriction of each open beam; None for a beam that any token may continue."""


@dataclass(frozen=True, slots=True)
class MinNewTokens:
    """No end before `minimum` tokens, at least one. A beam's state is its number of tokens."""

    name: ClassVar[str] = "min_new_tokens"

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
        """Forbid the end of all beams, because `follow` drops this constraint as soon as they are long enough."""
        return [Banned(frozenset((self.eos_token_id,)))] * len(states)


@dataclass(frozen=True, slots=True)
class NoRepeatNgrams:
    """No sequence of `size` tokens twice. A beam's state is its tokens.

    Attributes:
        size: tokens of an n-gram.
        start: the decoder's first token, which is part of the sequence, as in transformers.
    """

    name: ClassVar[str] = "no_repeat_ngram_size"

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
    """Return the constraints that the options imply."""
    made: list[LogitsProcessor] = []
    if options.min_new_tokens > 0:
        made.append(MinNewTokens(options.min_new_tokens, specials.eos))
    if options.no_repeat_ngram_size > 0:
        made.append(NoRepeatNgrams(options.no_repeat_ngram_size, specials.decoder_start))
    return tuple(made)


class Constraints:
    """The constraints of one request, with the states of its open beams."""

    def __init__(self, processors: Sequence[LogitsProcessor]) -> None:
        """Begin with one open beam, which has no tokens."""
        self._known: list[tuple[LogitsProcessor, Sequence[Any]]] = [(p, (p.begin(),)) for p in processors]

    @property
    def ranks(self) -> bool:
        """Whether `rank` finds the continuations, so that `restrictions` is not needed."""
        return len(self._known) == 1 and self._rank_of(self._known[0][0]) is not None

    @staticmethod
    def _rank_of(processor: LogitsProcessor) -> Rank | None:
        return getattr(processor, "rank", None)

    def rank(
        self, logprobs: NDArray[np.float32], sums: Sequence[float], wanted: int
    ) -> tuple[list[float], list[int], list[int]]:
        """Return the best continuations that are allowed. Only if `ranks` is true."""
        ((processor, states),) = self._known
        rank = self._rank_of(processor)
        assert rank is not None
        return rank(list(states), logprobs, sums, wanted)

    def __bool__(self) -> bool:
        """Whether any constraint can still forbid something."""
        return bool(self._known)

    def follow(self, beam_indices: Sequence[int], tokens: Sequence[int]) -> None:
        """Take a step, after which the open beams continue these beams with these tokens."""
        known = []
        for processor, states in self._known:
            following = processor.follow(states, beam_indices, tokens)
            if following is not None:
                known.append((processor, following))
        self._known = known

    def restrictions(self) -> Sequence[Restriction]:
        """Return the restriction of each open beam: banned sets of all processors united, allowed sets intersected."""
        combined: Sequence[Restriction] = ()
        for processor, states in self._known:
            own = processor.restrict(states)
            if len(own) != len(states):
                raise ValueError(f"{processor!r} restricted {len(own)} of {len(states)} beams")
            combined = [combine(*both) for both in zip(combined, own, strict=True)] if combined else own
        return combined

    def by_name(self) -> list[tuple[str, Sequence[Restriction]]]:
        """Return the name of each constraint, and its own restriction of each open beam."""
        return [
            (getattr(processor, "name", type(processor).__name__), processor.restrict(states))
            for processor, states in self._known
        ]


def combine(first: Restriction, second: Restriction) -> Restriction:
    """Return the restriction that allows what both restrictions allow."""
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
    """Return a function that tells whether a token is forbidden; None if no token is."""
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
