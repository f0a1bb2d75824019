"""Steps through a set of queries, compiled and in Python, against a look at all sequences."""

from __future__ import annotations

import numpy as np
import pytest

from generation.candidates import from_logprobs
from generation.constraints import query_set as module
from generation.constraints.query_set import QuerySet, QuerySetReport
from generation.constraints.trie import build_trie
from generation.options import MAX_BEAMS

VOCABULARY, LONGEST = 40, 5


@pytest.fixture(params=["compiled", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(module, "compiled", False)
    elif not module.compiled:
        pytest.skip("the project was installed without a compiler")
    return request.param


def made(generator: np.random.Generator, count: int) -> tuple[QuerySet, set[tuple[int, ...]]]:
    sequences = generator.integers(0, VOCABULARY, (count, LONGEST)).astype(np.int32)
    sequences[:, 0] %= 3  # few beginnings, so that there are many continuations
    lengths = generator.integers(1, LONGEST + 1, count)
    members = {tuple(row[:length].tolist()) for row, length in zip(sequences, lengths, strict=True)}
    return QuerySet(build_trie(sequences, lengths), QuerySetReport(len(members), 0, 0, 0, False, None)), members


def test_more_states_are_followed_than_a_search_has_beams(way: str) -> None:
    """A source may have more entries than that, and all of them are followed at once."""
    query_set, members = made(np.random.default_rng(3), 600)
    firsts = [member[0] for member in sorted(members)][: 2 * MAX_BEAMS]
    apart = [query_set.follow([query_set.begin()], [0], [token])[0] for token in firsts]
    assert query_set.follow([query_set.begin()] * len(firsts), range(len(firsts)), firsts) == apart


@pytest.mark.parametrize("seed", range(40))
def test_the_best_of_what_may_follow_is_found(way: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    query_set, members = made(generator, int(generator.choice([5, 60, 600])))
    beams, wanted = int(generator.integers(1, 9)), int(generator.integers(1, 17))
    prefixes = [row[:-1] for row in sorted(members)][:: max(1, len(members) // beams)][:beams]
    states = [query_set.begin()] * len(prefixes)
    for beam, prefix in enumerate(prefixes):
        for token in prefix:
            (states[beam],) = query_set.follow([states[beam]], [0], [token])
    rows = generator.permutation(len(prefixes) * VOCABULARY).astype(np.float32).reshape(-1, VOCABULARY) / 16
    sums = sorted((-generator.integers(0, 9, len(prefixes)) / 4).tolist(), reverse=True)
    rows[:, 7] = -np.inf
    padded = np.pad(rows, ((0, 1), (0, 24)))[:, :VOCABULARY]  # as it lies in a lane: more beams, and wider rows

    allowed = query_set.restrict(states)
    assert (query_set.rank is not None) == (way == "compiled")
    if query_set.rank is not None:
        found = query_set.rank(states, padded, sums, wanted)
    else:
        found = from_logprobs(padded, sums, allowed, wanted)

    following = []
    for prefix in prefixes:
        longer = [member for member in members if len(member) > len(prefix)]
        following.append({member[len(prefix)] for member in longer if member[: len(prefix)] == prefix})
    assert [set(each.token_ids.tolist()) for each in allowed] == following
    everything = [
        (np.float32(sums[beam]) + rows[beam, token], beam, token)
        for beam, tokens in enumerate(following)
        for token in tokens
        if rows[beam, token] > -np.inf
    ]
    everything.sort(key=lambda each: (-each[0], *each[1:]))
    assert list(zip(*found, strict=True)) == everything[:wanted]


def test_a_step_goes_on_from_the_beams_that_it_names(way: str) -> None:
    sequences = np.array([[3, 4, 5], [3, 6, 0], [7, 4, 0]], np.int32)
    query_set = QuerySet(build_trie(sequences, np.array([3, 2, 2])), QuerySetReport(3, 0, 0, 0, False, None))
    first = query_set.follow((query_set.begin(),), [0, 0, 0], [7, 3, 4])
    assert [each.token_ids.tolist() for each in query_set.restrict(first)] == [[4], [4, 6], []]
    second = query_set.follow(first, [1, 1, 0, 2], [4, 6, 4, 4])
    assert [each.token_ids.tolist() for each in query_set.restrict(second)] == [[5], [], [], []]


def test_what_does_not_fit_together_is_refused_and_nothing_is_read_past_an_end() -> None:
    compiled = pytest.importorskip("generation.constraints._trie_steps", exc_type=ImportError)
    trie = build_trie(np.array([[3, 4]], np.int32), np.array([2]))
    logprobs = np.zeros((2, 8), np.float32)
    for states, beams, tokens, error in (
        ([3], [0], [3], IndexError),
        ([0], [1], [3], IndexError),
        ([0], [-1], [3], IndexError),
        ([0], [0, 0], [3], ValueError),
        ([0] * 65, [0], [3], ValueError),
        ([0], [0], ["3"], TypeError),
    ):
        with pytest.raises(error):
            compiled.follow(trie.tokens, trie.first_child, states, beams, tokens)
    for arguments in (
        ([0, 0, 0], logprobs, [0.0] * 3, 4),
        ([0], logprobs, [], 4),
        ([0], logprobs, [0.0], 0),
        ([0], logprobs, [0.0], 129),
        ([0], logprobs[0], [0.0], 4),
        ([0], logprobs.astype(np.float64), [0.0], 4),
    ):
        with pytest.raises(ValueError, match="are needed"):
            compiled.best(trie.tokens, trie.first_child, *arguments)
    with pytest.raises(ValueError, match="one entry more"):
        compiled.best(trie.tokens, trie.tokens, [0], logprobs, [0.0], 4)
    assert compiled.best(trie.tokens, trie.first_child, [0], logprobs[:, :3], [0.0], 4) == ([], [], [])
