"""The record of one beam search, step by step, for requests that ask for it (`GenerationRequest.record_search`).

Everything is read from what the search and the decoder step hold anyway, so the record is the same on every backend
and does not change the search. Its size is bounded: at most `max_new_tokens` steps, and in each step at most
`num_beams` open beams, `num_beams` ended candidates and SPARE_FACTOR * `num_beams` cut ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from generation.beam import BeamSearch, Candidate
from generation.candidates import Candidates
from generation.logits_processors import Constraints, predicate


@dataclass(frozen=True, slots=True)
class Continuation:
    """An open beam after a step.

    Attributes:
        token_id: the token that the step added.
        parent: the open beam of the step before that it continues; 0 at the first step, which continues the start.
        sum_logprobs: sum of the log-probabilities of all its tokens.
    """

    token_id: int
    parent: int
    sum_logprobs: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A candidate that became a hypothesis at a step: its token is the end, or the last one that is allowed.

    Attributes:
        token_id: the token that the step added.
        parent: the open beam of the step before that it continues.
        sum_logprobs: sum of the log-probabilities of all its tokens, including the end.
        score: of the hypothesis.
    """

    token_id: int
    parent: int
    sum_logprobs: float
    score: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A continuation that a constraint forbade, and that was likely enough to be a candidate otherwise.

    Attributes:
        token_id: the token that it would have added.
        parent: the open beam that it would have continued.
        sum_logprobs: sum of the log-probabilities of all its tokens.
        constraints: names of the constraints that forbid it, at least one.
    """

    token_id: int
    parent: int
    sum_logprobs: float
    constraints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchStep:
    """What one decoder step did. Each group is in falling order of its sums.

    Attributes:
        beams: the open beams after the step.
        ended: the candidates that became hypotheses.
        cut: what constraints forbade, among the continuations that the decoder step returns.
    """

    beams: tuple[Continuation, ...]
    ended: tuple[Ended, ...]
    cut: tuple[Cut, ...]


def recorded_step(search: BeamSearch, ended: Sequence[Candidate], cut: tuple[Cut, ...]) -> SearchStep:
    """Return the record of the step that a search has just taken.

    Args:
        search: after `advance`.
        ended: what `advance` returned.
        cut: of the same step.
    """
    norm = search.length_norm
    return SearchStep(
        beams=tuple(map(Continuation, search.tokens, search.beam_indices, search.sums)),
        ended=tuple(Ended(token, beam, total, total / norm) for total, beam, token in ended),
        cut=cut,
    )


def cut_by(constraints: Constraints, proposed: Candidates, taken: Candidates, wanted: int) -> tuple[Cut, ...]:
    """Return the proposed continuations that constraints forbade and that would have been taken otherwise.

    Args:
        constraints: with the states of the beams that the step continued.
        proposed: the continuations that the decoder step returns, in falling order of their sums, before constraints.
        taken: the candidates that the search got, in the same order.
        wanted: number of candidates that the search takes if there are enough.
    """
    least = taken[0][-1] if len(taken[0]) == wanted else -math.inf
    if not constraints:
        return ()
    forbidding = [
        (name, [predicate(restriction) for restriction in restrictions]) for name, restrictions in constraints.by_name()
    ]
    cut = []
    for total, beam, token in zip(*proposed, strict=True):
        if total < least or total == -math.inf:  # minus infinity: fewer beams are open than there is room for
            break
        names = tuple(
            name for name, predicates in forbidding if (forbids := predicates[beam]) is not None and forbids(token)
        )
        if names:
            cut.append(Cut(token, beam, total, names))
    return tuple(cut)
