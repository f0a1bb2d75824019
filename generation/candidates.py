"""The continuations that a search may take: the graph's best, less what constraints forbid.

A search with B beams needs the 2 * B best continuations that are allowed (B may turn out to be ends). The graph hands
out 3 * B: where at most B of them are forbidden, the others are what is needed. Else the request's log-probabilities
are read, which is as exact and slower. A set that is allowed is tried in this order too while it is large: what a
model likes best is mostly in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.bundle.vocabulary_blocks import SPARE_FACTOR
from generation.logits_processors import Allowed, Banned, Predicate, Restriction, predicate

# Sums by falling value, and for each the open beam that it continues and the token that it adds.
Candidates = tuple[list[float], list[int], list[int]]

_FEW = 64  # values that are sorted sooner than the largest are picked out of them
_MANY = 1000  # allowed tokens of all beams: ranking so many costs more than a look at the graph's candidates


def need_logprobs(restrictions: Sequence[Restriction], num_beams: int) -> bool:
    """Whether the candidates of the graph may not be enough under these restrictions."""
    banned = 0
    for restriction in restrictions:
        if isinstance(restriction, Banned):
            banned += len(restriction.token_ids)
        elif restriction is not None:
            return True
    return banned > (SPARE_FACTOR - 2) * num_beams


def are_few(restrictions: Sequence[Restriction]) -> bool:
    """Whether so few tokens are allowed that they are ranked without a look at the graph's candidates."""
    allowed = 0
    for restriction in restrictions:
        if not isinstance(restriction, Allowed):
            return False
        allowed += restriction.token_ids.size
    return allowed < _MANY


def drop_forbidden(
    candidates: Candidates, predicates: Sequence[Predicate | None], wanted: int, most_forbidden: float = math.inf
) -> Candidates:
    """Take the first `wanted` candidates that are allowed; no more are looked at once `most_forbidden` are not.

    Args:
        candidates: by falling sum.
        predicates: what tells, for each open beam, whether a token is forbidden.
        wanted: how many.
        most_forbidden: with more of these the others would not be enough.
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
    """Find the best continuations under any restrictions; of equal ones, the lower beam's and the lower token first.

    Args:
        logprobs: [B, vocab_size], of the open beams.
        sums: of the open beams.
        restrictions: of the open beams.
        wanted: how many; fewer come back where fewer are allowed.
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
    """Return the largest values but minus infinity, falling, equal ones in order of place."""
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
