"""The continuations that a search may take: the graph's best, less what constraints forbid.

A search with B beams needs the 2 * B best continuations that are allowed (B may turn out to be ends). The graph hands
out 3 * B: where at most B of them are forbidden, the others are what is needed. Else the request's log-probabilities
are read, which is as exact and slower. A set that is allowed is tried in this order too while it is large: what a
model likes best is mostly in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generation.logits_processors import Allowed, Banned, Restriction, forbids

SPARE_FACTOR = 3  # candidates that the graph hands out for each beam

# Sums by falling value, and for each the open beam that it continues and the token that it adds.
Candidates = tuple[list[float], list[int], list[int]]

_FEW = 256  # values that are sorted sooner than the largest are picked out of them
_LARGE_SET = 12  # allowed tokens for each beam from which on the graph's candidates are worth a try


def need_logprobs(restrictions: Sequence[Restriction], num_beams: int) -> bool:
    """Whether the candidates of the graph may not be enough under these restrictions."""
    banned = 0
    for restriction in restrictions:
        if isinstance(restriction, Banned):
            banned += len(restriction.token_ids)
        elif restriction is not None:
            return True
    return banned > (SPARE_FACTOR - 2) * num_beams


def worth_a_try(restrictions: Sequence[Restriction]) -> bool:
    """Whether enough of the graph's candidates may be allowed."""
    sizes = [restriction.token_ids.size for restriction in restrictions if isinstance(restriction, Allowed)]
    return not sizes or sum(sizes) >= _LARGE_SET * len(restrictions)


def drop_banned(
    candidates: Candidates, restrictions: Sequence[Restriction], wanted: int, most_forbidden: float = math.inf
) -> Candidates:
    """Take the first `wanted` candidates that are allowed; no more are looked at once `most_forbidden` are not."""
    sums: list[float] = []
    beams: list[int] = []
    tokens: list[int] = []
    for total, beam, token in zip(*candidates, strict=True):
        if len(sums) == wanted or total == -math.inf:
            break
        if not forbids(restrictions[beam], token):
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
    size = logprobs.shape[1]
    ids = [r.token_ids if isinstance(r, Allowed) else np.arange(size) for r in restrictions]
    unlisted = [None if isinstance(r, Allowed) and r.forbids is None else r for r in restrictions]
    counts = [len(of_beam) for of_beam in ids]
    places = np.concatenate(ids) + np.repeat(np.arange(0, len(ids) * size, size), counts)  # [M], in all rows end to end
    totals = logprobs.reshape(-1).take(places)
    totals += np.repeat(np.array(sums, np.float32), counts)
    looked_at = wanted
    while True:
        best = _largest(totals, looked_at)
        largest = totals.take(best).tolist()
        beams, tokens = np.divmod(places.take(best), size)
        found = drop_banned((largest, beams.tolist(), tokens.tolist()), unlisted, wanted)
        if len(found[0]) == wanted or looked_at >= totals.size:
            return found
        looked_at *= 8


def _largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the places of the largest values but minus infinity, falling, equal ones in order of place."""
    if values.size > max(count, _FEW):
        least = np.partition(values, values.size - count)[values.size - count]
        places = np.flatnonzero(values >= least)
        return places.take(np.argsort(-values.take(places), kind="stable")[:count])
    return np.argsort(-values, kind="stable")[:count]
