"""The pointer of a bundle: a probability for each whole query that stands in the source.

    p(q | x) = p(generate | x) * p_decoder(q | x) + sum over entries e of x with the tokens of q: p(e | x)

docs/adr/0086 has the reasons; generation/mixture.py brings both parts together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evidence.entries import FIELD_PLACES, find_entries

FloatArray = NDArray[np.float32]
Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pointed:
    """What the pointer says about one source.

    Attributes:
        generate: log p(generate | x), the start of all sums of the search.
        entries: log p(e | x) of each distinct entry that a search may return.
    """

    generate: float
    entries: Mapping[Tokens, float]


NOTHING_POINTED = Pointed(0.0, {})
"""Of a bundle without a pointer."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """The weights, float32; D is the width of the model, H that of the layer between.

    Attributes:
        inner: [D, H]. inner_bias: [H]. outer: [H].
        place: [FIELD_PLACES], see `evidence.entries`.
        generate: [D]. generate_bias: of the score of generating.
        separator: the token between two fields. between: the token between two queries of a field.
    """

    inner: FloatArray
    inner_bias: FloatArray
    outer: FloatArray
    place: FloatArray
    generate: FloatArray
    generate_bias: float
    separator: int
    between: int

    def read(self, values: FloatArray, source_ids: Sequence[int]) -> Pointed:
        """Score the entries of a source of S tokens.

        Args:
            values: [1, heads, S, head_dim], the cross-attention values of the first decoder layer.
            source_ids: of the source.
        """
        entries = find_entries(source_ids, self.separator, self.between)
        if not entries:
            return NOTHING_POINTED
        positions = [0, *(entry.start for entry in entries)]
        read = values[0][:, positions].transpose(1, 0, 2).reshape(len(positions), -1)  # [1 + E, D]
        hidden = np.maximum(read[1:] @ self.inner + self.inner_bias, 0.0)  # [E, H]
        scores = hidden @ self.outer + self.place[[entry.place for entry in entries]]
        all_scores = np.concatenate(([read[0] @ self.generate + self.generate_bias], scores)).astype(np.float64)
        all_scores -= all_scores.max()
        logprobs = (all_scores - math.log(np.exp(all_scores).sum())).tolist()
        summed: dict[Tokens, float] = {}
        for entry, logprob in zip(entries, logprobs[1:], strict=True):
            tokens = tuple(source_ids[entry.start : entry.end])
            summed[tokens] = add_logs(summed[tokens], logprob) if tokens in summed else logprob
        return Pointed(logprobs[0], summed)


def pointer_floats(d_model: int, hidden: int) -> int:
    """Return how many numbers a pointer has."""
    return d_model * hidden + 2 * hidden + FIELD_PLACES + d_model + 1


def add_logs(first: float, second: float) -> float:
    """Return log(exp(first) + exp(second))."""
    high, low = max(first, second), min(first, second)
    return high + math.log1p(math.exp(low - high)) if high > -math.inf else high
