"""The compiled steps of a trie against what they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from generation.constraints.query_set import QuerySet, QuerySetReport
from generation.constraints.trie import Trie, build_trie
from generation.options import MAX_BEAMS

steps = pytest.importorskip("generation.constraints._trie_steps", reason="the trie's steps were not compiled here")

VOCABULARY = 40


@pytest.fixture(params=range(4))
def trie(request: pytest.FixtureRequest) -> Trie:
    generator = np.random.default_rng(request.param)
    sequences = generator.integers(1, VOCABULARY, (60, 4)).astype(np.int32)
    return build_trie(sequences, generator.integers(1, 5, 60))


@pytest.fixture
def in_python(trie: Trie) -> QuerySet:
    query_set = QuerySet(trie, QuerySetReport(60, 0, 0, 0, False, None))
    query_set.rank = None
    return query_set


def test_a_token_leads_where_it_leads_in_python(trie: Trie, in_python: QuerySet) -> None:
    generator = np.random.default_rng(9)
    for _ in range(200):
        states = generator.integers(0, len(trie), 5).tolist()
        beams, tokens = generator.integers(0, 5, 8).tolist(), generator.integers(0, VOCABULARY + 5, 8).tolist()
        found = steps.follow(trie.tokens, trie.first_child, states, beams, tokens)
        assert found == in_python.follow(states, beams, tokens)


@pytest.mark.parametrize("wanted", [1, 4, 16, 2 * MAX_BEAMS])
def test_the_best_are_those_of_a_sort(trie: Trie, in_python: QuerySet, wanted: int) -> None:
    generator = np.random.default_rng(wanted)
    for _ in range(50):
        nodes = generator.integers(0, len(trie), 6).tolist()
        nodes[0] = 0
        # Few different values, so that many are equal; a wider array, of which rows are taken.
        logprobs = generator.integers(-4, 0, (8, VOCABULARY + 3)).astype(np.float32)[:6, :VOCABULARY]
        logprobs[generator.random(logprobs.shape) < 0.1] = -np.inf
        sums = generator.integers(-3, 0, 6).astype(float).tolist()
        expected = [
            (sums[beam] + float(logprobs[beam, token]), beam, token)
            for beam, allowed in enumerate(in_python.restrict(nodes))
            for token in allowed.token_ids.tolist()
        ]
        expected = sorted((c for c in expected if c[0] > -math.inf), key=lambda c: -c[0])[:wanted]
        found = steps.best(trie.tokens, trie.first_child, nodes, logprobs, sums, wanted)
        assert list(zip(*found, strict=True)) == expected


def test_wrong_arguments_are_refused(trie: Trie) -> None:
    logprobs = np.zeros((2, VOCABULARY), np.float32)
    with pytest.raises(IndexError, match=f"{len(trie)} is not from 0 to below {len(trie)}"):
        steps.best(trie.tokens, trie.first_child, [0, len(trie)], logprobs, [0.0, 0.0], 4)
    with pytest.raises(ValueError, match="a sum for each beam"):
        steps.best(trie.tokens, trie.first_child, [0, 0], logprobs, [0.0], 4)
    with pytest.raises(ValueError, match="a sum for each beam"):
        steps.best(trie.tokens, trie.first_child, [0, 0, 0], logprobs, [0.0] * 3, 4)
    with pytest.raises(ValueError, match="one entry more"):
        steps.best(trie.tokens, trie.tokens, [0], logprobs, [0.0], 4)
    with pytest.raises(ValueError, match="as many tokens"):
        steps.follow(trie.tokens, trie.first_child, [0], [0, 0], [1])
    with pytest.raises(IndexError, match="1 is not from 0 to below 1"):
        steps.follow(trie.tokens, trie.first_child, [0], [1], [1])
    with pytest.raises(ValueError, match="at most 64"):
        steps.follow(trie.tokens, trie.first_child, [0], [0] * 65, [1] * 65)
