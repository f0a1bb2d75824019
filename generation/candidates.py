"""The continuations that a search may take: the graph's best, less what constraints forbid.

A search with B beams needs the 2 * B best continuations that are allowed (B may turn out to be ends). The graph hands
out 3 * B, so up to B forbidden ones can simply be dropped. Where more are forbidden, or only a set is allowed, the
request's log-probabilities are read, which is exact and slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generation.logits_processors import Allowed, Banned, Restriction

SPARE_FACTOR = 3  # candidates that the graph hands out for each beam

# Sums by falling value, and for each the open beam that it continues and the token that it adds.
Candidates = tuple[list[float], list[int], list[int]]


def need_logprobs(restrictions: Sequence[Restriction], num_beams: int) -> bool:
    """Whether the candidates of the graph may not be enough under these restrictions."""
    banned = 0
    for restriction in restrictions:
        if isinstance(restriction, Allowed):
            return True
        if restriction is not None:
            banned += len(restriction.token_ids)
    return banned > (SPARE_FACTOR - 2) * num_beams


def drop_banned(candidates: Candidates, restrictions: Sequence[Restriction], wanted: int) -> Candidates:
    """Take the first `wanted` of the graph's candidates that no ban forbids."""
    banned = [restriction.token_ids if isinstance(restriction, Banned) else () for restriction in restrictions]
    triples = zip(*candidates, strict=True)
    kept = [(total, beam, token) for total, beam, token in triples if token not in banned[beam]]
    return [c[0] for c in kept[:wanted]], [c[1] for c in kept[:wanted]], [c[2] for c in kept[:wanted]]


def from_logprobs(
    logprobs: NDArray[np.float32], sums: Sequence[float], restrictions: Sequence[Restriction], wanted: int
) -> Candidates:
    """Find the best continuations under any restrictions.

    Args:
        logprobs: [B, vocab_size], of the open beams.
        sums: of the open beams.
        restrictions: of the open beams.
        wanted: how many; fewer come back where fewer are allowed.
    """
    totals, beams, tokens = [], [], []
    for beam, restriction in enumerate(restrictions):
        row = logprobs[beam]
        if isinstance(restriction, Allowed):
            ids = restriction.token_ids
            row = row[ids]
        else:
            if isinstance(restriction, Banned):
                row = row.copy()
                row[list(restriction.token_ids)] = -np.inf
            ids = np.argpartition(row, -min(wanted, row.size))[-wanted:]  # one beam may give all that are wanted
            row = row[ids]
        totals.append(row + np.float32(sums[beam]))
        tokens.append(ids)
        beams.append(np.full(ids.size, beam))
    total, token, beam_of = np.concatenate(totals), np.concatenate(tokens), np.concatenate(beams)
    order = np.lexsort((token, beam_of, -total))[:wanted]
    order = order[np.isfinite(total[order])]
    return total[order].tolist(), beam_of[order].tolist(), token[order].tolist()
