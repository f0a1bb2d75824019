"""What a trie offers after a prefix is what the sequences in it say, whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.constraints.trie import ROOT, Trie, build_trie


def built(sequences: list[tuple[int, ...]]) -> Trie:
    lengths = np.array([len(sequence) for sequence in sequences])
    padded = np.zeros((len(sequences), lengths.max()), np.int32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return build_trie(padded, lengths)


def paths(trie: Trie, node: int = ROOT) -> dict[tuple[int, ...], list[int]]:
    """Every prefix, and the tokens behind it in the order of the arrays."""
    children = range(trie.first_child[node], trie.first_child[node + 1])
    found: dict[tuple[int, ...], list[int]] = {(): [int(trie.tokens[child]) for child in children]}
    for child in children:
        found |= {(int(trie.tokens[child]), *rest): after for rest, after in paths(trie, child).items()}
    return found


SEQUENCES = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5).map(tuple), min_size=1, max_size=30)


@given(sequences=SEQUENCES)
def test_after_each_prefix_come_the_tokens_that_some_sequence_has_there(sequences: list[tuple[int, ...]]) -> None:
    expected: dict[tuple[int, ...], set[int]] = {}
    for sequence in sequences:
        for place, token in enumerate(sequence):
            expected.setdefault(sequence[:place], set()).add(token)
        expected.setdefault(sequence, set())
    trie = built(sequences)
    assert paths(trie) == {prefix: sorted(tokens) for prefix, tokens in expected.items()}
    assert len(trie) == len(expected)


@pytest.mark.parametrize("largest", [2**15 - 1, 2**15, 2**16, 2**20])
def test_large_token_ids_keep_their_order(largest: int) -> None:
    trie = built([(largest, 1), (3, largest), (largest - 1,), (3, 2)])
    assert paths(trie)[()] == [3, largest - 1, largest]
    assert paths(trie)[(3,)] == [2, largest]
