"""The best continuations under restrictions, compared with a full sort."""

from __future__ import annotations

import numpy as np
import pytest

from generation.bundle.vocabulary_blocks import SPARE_FACTOR
from generation.candidates import Candidates, drop_forbidden, from_logprobs, need_logprobs
from generation.logits_processors import Allowed, Banned, Filtered, Restriction, combine, forbids, predicate

BEAMS, VOCABULARY, WANTED = 3, 20, 6


def sorted_out(logprobs: np.ndarray, sums: list[float], restrictions: list[Restriction], wanted: int) -> Candidates:
    totals = logprobs + np.array(sums, np.float32)[:, None]
    for beam, restriction in enumerate(restrictions):
        forbidden = np.zeros(logprobs.shape[1], bool)
        if isinstance(restriction, Allowed):
            forbidden[:] = True
            forbidden[restriction.token_ids] = False
            forbidden[[token for token in restriction.token_ids if forbids(restriction, token)]] = True
        elif restriction is not None:
            forbidden[[token for token in range(VOCABULARY) if forbids(restriction, token)]] = True
        totals[beam, forbidden] = -np.inf
    order = np.argsort(-totals.ravel(), kind="stable")[:wanted]
    order = order[np.isfinite(totals.ravel()[order])]
    return totals.ravel()[order].tolist(), (order // VOCABULARY).tolist(), (order % VOCABULARY).tolist()


def random_restriction(generator: np.random.Generator, most: int) -> Restriction:
    tokens = generator.choice(VOCABULARY, generator.integers(0, most + 1), replace=False)
    listed = frozenset(tokens.tolist())
    kinds: list[Restriction] = [
        None,
        Banned(listed),
        Allowed(np.sort(tokens).astype(np.int64)),
        Filtered(listed.__contains__),
    ]
    return kinds[generator.integers(len(kinds))]


@pytest.mark.parametrize("seed", range(50))
def test_candidates_from_log_probabilities_equal_a_full_sort(seed: int) -> None:
    generator = np.random.default_rng(seed)
    logprobs = np.log(generator.dirichlet(np.ones(VOCABULARY), BEAMS)).astype(np.float32)
    sums = sorted(generator.normal(size=BEAMS).tolist(), reverse=True)
    restrictions = [
        combine(random_restriction(generator, VOCABULARY), random_restriction(generator, VOCABULARY // 2))
        for _ in range(BEAMS)
    ]
    expected = sorted_out(logprobs, sums, restrictions, WANTED)
    assert from_logprobs(logprobs, sums, restrictions, WANTED) == expected


@pytest.mark.parametrize("seed", range(50))
def test_candidates_of_the_graph_without_banned_ones_equal_a_full_sort(seed: int) -> None:
    generator = np.random.default_rng(seed)
    logprobs = np.log(generator.dirichlet(np.ones(VOCABULARY), BEAMS)).astype(np.float32)
    sums = sorted(generator.normal(size=BEAMS).tolist(), reverse=True)
    likely = np.argsort(-logprobs, axis=1)[:, :2]
    restrictions: list[Restriction] = [
        Banned(frozenset(likely[0].tolist())),
        None,
        Banned(frozenset(likely[2, :1].tolist())),
    ]
    assert not need_logprobs(restrictions, BEAMS)
    offered = sorted_out(logprobs, sums, [None] * BEAMS, SPARE_FACTOR * BEAMS)
    assert drop_forbidden(offered, [predicate(r) for r in restrictions], WANTED) == sorted_out(
        logprobs, sums, restrictions, WANTED
    )


def test_log_probabilities_are_read_only_if_the_candidates_may_not_suffice() -> None:
    assert not need_logprobs([], 2)
    assert not need_logprobs([None, Banned(frozenset((1, 2)))], 2)
    assert need_logprobs([Banned(frozenset((1,))), Banned(frozenset((1, 2)))], 2)
    assert need_logprobs([Allowed(np.array([1])), None], 2)


def test_there_are_no_candidates_if_no_token_is_allowed() -> None:
    logprobs = np.zeros((1, VOCABULARY), np.float32)
    assert from_logprobs(logprobs, [0.0], [Allowed(np.array([], np.int64))], WANTED) == ([], [], [])
