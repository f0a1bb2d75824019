"""Substitution: tokens of a training source are replaced at random, alike in the source and in its targets.

What a row teaches about its own words is lost, and what it teaches about reading stays: the answer still stands in
the same places. A model that starts with copying (training/copying_start.py) keeps it this way, where it would soon
prefer the names that it has seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.data import Ragged


def ordinary_tokens(vocabulary: int, special: Mapping[str, int], between: int) -> NDArray[np.int32]:
    """Return every token id that may be replaced: all but special tokens and the one between two queries."""
    return np.setdiff1d(np.arange(vocabulary, dtype=np.int32), [*special.values(), between]).astype(np.int32)


def substitute_tokens(
    sources: Ragged,
    targets: Ragged,
    targets_of: Ragged,
    rows: NDArray[np.int64],
    ordinary: NDArray[np.int32],
    rng: np.random.Generator,
) -> None:
    """Replace tokens of some sources, and the same tokens in their targets, in place.

    For each row a share is drawn from 0 to 1, and each distinct token of the source is replaced with that chance. A
    target token that is not in the source stays.

    Args:
        sources: m rows, changed.
        targets: n rows, changed.
        targets_of: for each source the rows of its targets.
        rows: of `sources`.
        ordinary: tokens that may be replaced, and what they are replaced by.
        rng: source of randomness.
    """
    becomes = np.arange(int(ordinary.max()) + 1, dtype=np.int32)
    replaceable = np.zeros(len(becomes), dtype=np.bool_)
    replaceable[ordinary] = True
    for row in rows.tolist():
        source = sources[row]
        distinct = np.unique(source)
        distinct = distinct[replaceable[distinct]]
        chosen = distinct[rng.random(len(distinct)) < rng.random()]
        becomes[chosen] = ordinary[rng.integers(len(ordinary), size=len(chosen))]
        source[:] = becomes[source]
        for target_row in targets_of[row].tolist():
            target = targets[target_row]
            target[:] = becomes[target]
        becomes[chosen] = chosen
