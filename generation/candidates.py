"""The continuations that a search may take: the best ones of the decoder graph, without those that are forbidden.

A search with B beams needs the 2 * B best continuations that are allowed, because B of them may be ends. The graph
returns 3 * B. If at most B of these are forbidden, the others suffice. Otherwise the log-probabilities of the request
are read, which gives the same result and is slower. For a large set of allowed tokens the candidates of the graph are
tried first too, because most of them are usually allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.bundle.vocabulary_blocks import SPARE_FACTOR
from generation.logits_processors import Allowed, Banned, Predicate, Restriction, predicate

# Log-probability sums in falling order; for each, the open beam that it continues, and the token that it adds.
Candidates = tuple[list[float], list[int], list[int]]

_FEW = 64  # so many values are sorted faster than they are partitioned
_MANY = 1000  # allowed tokens of all beams; ranking more costs more than testing the candidates of the graph


def need_logprobs(restrictions: Sequence[Restriction], num_beams: int) -> bool:
    """Whether too few candidates of the graph may be allowed, so that log-probabilities are needed."""
    banned = 0
    for restriction in restrictions:
        if isinstance(restriction, Banned):
            banned += len(restriction.token_ids)
        elif restriction is not None:
            return True
    return banned > (SPARE_FACTOR - 2) * num_beams


def are_few(restrictions: Sequence[Restriction]) -> bool:
    """Whether so few tokens are allowed that ranking them is faster than testing the candidates of the graph."""
    allowed = 0
    for restriction in restrictions:
        if not isinstance(restriction, Allowed):
            return False
        allowed += restriction.token_ids.size
    return allowed < _MANY


def drop_forbidden(
    candidates: Candidates, predicates: Sequence[Predicate | None], wanted: int, most_forbidden: float = math.inf
) -> Candidates:
    """Return the first `wanted` candidates that are allowed.

    Args:
        candidates: in falling order of their sums.
        predicates: for each open beam, tells whether a token is forbidden; None if none is.
        wanted: number of candidates.
        most_forbidden: stop after more than so many forbidden ones, because the rest would not suffice.
    """
    sums: list[float] = []
    beams: list[int] = []
    tokens: list[int] = []
    for total, beam, token in zip(*candidates, strict=True):
        if len(sums) == wanted:
            break
        forbids = predicates[beam]
        if forbids is None or not forbids(token):
            sums.append(total)
            beams.append(beam)
            tokens.append(token)
            continue
        most_forbidden -= 1
        if most_forbidden < 0:
            break
    return sums, beams, tokens


def from_logprobs(
    logprobs: NDArray[np.float32], sums: Sequence[float], restrictions: Sequence[Restriction], wanted: int
) -> Candidates:
    """Return the best continuations under any restrictions. Equal ones are in the order of beams, then of tokens.

    Args:
        logprobs: [B, vocab_size], of the open beams.
        sums: log-probability sums of the open beams.
        restrictions: of the open beams.
        wanted: number of continuations; fewer are returned if fewer are allowed.
    """
    listed = [r.token_ids if isinstance(r, Allowed) else np.arange(logprobs.shape[1]) for r in restrictions]
    tokens = np.concatenate(listed)  # [M]
    beams = np.arange(len(listed)).repeat([len(ids) for ids in listed])  # [M]
    totals = logprobs[beams, tokens]
    totals += np.array(sums, np.float32)[beams]
    unlisted = [r.forbids if isinstance(r, Allowed) else predicate(r) for r in restrictions]
    looked_at = wanted
    while True:
        found = _best(totals, beams, tokens, looked_at)
        complete = len(found[0]) < looked_at
        if any(unlisted):
            found = drop_forbidden(found, unlisted, wanted)
        if complete or len(found[0]) == wanted:
            return found
        looked_at *= 8


def _best(
    totals: NDArray[np.float32], beams: NDArray[np.int64], tokens: NDArray[np.integer[Any]], count: int
) -> Candidates:
    """Return the largest values except minus infinity, in falling order; equal ones keep their order."""
    if totals.size > max(count, _FEW):
        least = np.partition(totals, totals.size - count)[totals.size - count]
        large = np.flatnonzero(totals >= least)
        totals, beams, tokens = totals.take(large), beams.take(large), tokens.take(large)
    order = np.argsort(-totals, kind="stable")[:count]
    sums = totals.take(order).tolist()
    if sums and sums[-1] == -math.inf:
        order = order[: sums.index(-math.inf)]
        sums = sums[: len(order)]
    return sums, beams.take(order).tolist(), tokens.take(order).tolist()
