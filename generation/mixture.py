"""The mixture of a search: the hypotheses of the decoder, and the entries that the pointer scores.

The search over the decoder stays as it is; its sums begin at log p(generate | x), and the entries join its hypotheses
at the end (docs/adr/0086).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence

from generation.beam import Hypothesis
from generation.logits_processors import Constraints, LogitsProcessor, forbids
from generation.options import GenerationOptions
from generation.pointer import Pointed, Tokens, add_logs


def keep_allowed(
    pointed: Pointed, options: GenerationOptions, processors: Sequence[LogitsProcessor], eos: int
) -> Pointed:
    """Return only the entries that the constraints and lengths of a search allow.

    Args:
        pointed: of the source.
        options: of the search.
        processors: its constraints.
        eos: the token that ends a sequence.
    """
    left = [tokens for tokens in pointed.entries if len(tokens) < options.max_new_tokens]
    constraints = Constraints(processors)
    parents, step = [0] * len(left), 0
    allowed: list[Tokens] = []
    while left and constraints:
        restrictions = constraints.restrictions()
        kept = [
            (tokens, parent)
            for tokens, parent in zip(left, parents, strict=True)
            if not forbids(restrictions[parent], tokens[step] if step < len(tokens) else eos)
        ]
        allowed += [tokens for tokens, _ in kept if step == len(tokens)]
        kept = [(tokens, parent) for tokens, parent in kept if step < len(tokens)]
        left, parents = [tokens for tokens, _ in kept], [parent for _, parent in kept]
        if left:
            constraints.follow(parents, [tokens[step] for tokens in left])
        parents, step = list(range(len(left))), step + 1
    chosen = {*allowed, *left}
    if len(chosen) == len(pointed.entries):
        return pointed
    return Pointed(pointed.generate, {tokens: p for tokens, p in pointed.entries.items() if tokens in chosen})


def add_entries(
    hypotheses: Sequence[Hypothesis],
    pointed: Pointed,
    options: GenerationOptions,
    generated: Mapping[Tokens, float],
) -> tuple[Hypothesis, ...]:
    """Return the best hypotheses of the mixture, best first, at most num_return_sequences.

    Args:
        hypotheses: of the decoder's search, whose sums began at `pointed.generate`.
        pointed: what the pointer says about the source.
        options: of the search.
        generated: the sums of those entries that the search has ended.
    """
    if not pointed.entries:
        return tuple(hypotheses)
    mixed = [h for h in hypotheses if not (h.finished and h.token_ids in pointed.entries)]
    for tokens, logprob in pointed.entries.items():
        total = add_logs(logprob, generated[tokens]) if tokens in generated else logprob
        mixed.append(_scored(tokens, total, logprob, options))
    return tuple(heapq.nlargest(options.num_return_sequences, mixed, key=lambda hypothesis: hypothesis.score))


def least_score(pointed: Pointed, options: GenerationOptions) -> float:
    """Return the score that a hypothesis of the decoder must beat to be among the best; minus infinity for none."""
    if len(pointed.entries) < options.num_beams:
        return -math.inf
    scores = (_scored(tokens, logprob, logprob, options).score for tokens, logprob in pointed.entries.items())
    return heapq.nlargest(options.num_beams, scores)[-1]


def _scored(tokens: Tokens, logprob: float, pointed: float, options: GenerationOptions) -> Hypothesis:
    length = float(len(tokens) + 1)
    return Hypothesis(
        tokens, logprob, logprob / length**options.length_penalty, finished=True, pointed=math.exp(pointed - logprob)
    )
