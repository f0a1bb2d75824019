"""A set of token sequences, up to millions of them, as a trie in two flat arrays.

Nodes are numbered level by level, so that the children of a node are neighbours, in rising order of their tokens. A
node is an integer, and the tokens that may follow it are a slice of an array. A sequence ends with its end-of-sequence
token, which is stored like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROOT = 0


@dataclass(frozen=True, slots=True)
class Trie:
    """A trie. Immutable, and shared by all requests.

    tokens: [N], the token that leads to each node; the root's is 0 and is not used.
    first_child: [N + 1], the children of node n are first_child[n] .. first_child[n + 1] - 1.
    """

    tokens: NDArray[np.int32]
    first_child: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.tokens)

    def is_sound(self, vocab_size: int) -> bool:
        """Return whether every index in the arrays is inside them, which the compiled steps do not check."""
        tokens, first = self.tokens, self.first_child
        if any(array.dtype != np.int32 or array.ndim != 1 for array in (tokens, first)):
            return False
        count = len(tokens)
        return bool(
            count > 0
            and len(first) == count + 1
            and first[-1] == count
            and (first[:-1] > np.arange(count)).all()  # children are numbered behind their parent
            and (np.diff(first) >= 0).all()
            and tokens.min() >= 0
            and tokens.max() < vocab_size
        )


def build_trie(sequences: NDArray[np.int32], lengths: NDArray[np.int64]) -> Trie:
    """Build the trie of some sequences; a sequence may be given more than once.

    Args:
        sequences: [n, longest], at least one, each padded on the right with any values.
        lengths: [n], each at least 1.
    """
    count, longest = sequences.shape
    columns = np.where(np.arange(longest) < lengths[:, None], sequences, -1)  # -1 sorts a prefix before what it begins
    # lexsort sorts by its last key first; narrow keys make it a radix sort.
    narrow = columns.astype(np.int16) if columns.max() < 2**15 else columns
    columns = columns[np.lexsort(narrow.T[::-1])]

    tokens: list[NDArray[np.int32]] = [np.zeros(1, np.int32)]
    first_child: list[NDArray[np.int64]] = []
    parent_rows = np.zeros(1, np.int64)  # of each node of the level above, the first row under it
    begins = np.zeros(count, np.bool_)  # rows that differ from the one before, up to this level
    begins[0] = True
    total = 1
    for level in range(longest):
        column = columns[:, level]
        begins[1:] |= column[1:] != column[:-1]
        made = begins & (column >= 0)
        before: NDArray[np.int64] = np.cumsum(made) - made  # nodes of this level in rows above each row
        first_child.append(total + before[parent_rows])
        parent_rows = np.flatnonzero(made)
        tokens.append(column[parent_rows])
        total += len(parent_rows)
    first_child.append(np.full(len(parent_rows) + 1, total))
    return Trie(
        np.concatenate(tokens).astype(np.int32, copy=False), np.concatenate(first_child).astype(np.int32, copy=False)
    )
