"""The beam search on a model small enough to enumerate: a table of log P(next token | position, last token)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from generation.beam import BeamSearch
from generation.options import GenerationOptions

START, EOS = 0, 1
VOCABULARY = 5
LONGEST = 16


def transition_table(seed: int, vocabulary: int = VOCABULARY) -> np.ndarray:
    """Return log-probabilities [position, last token, next token]; without the position, scores would be equal."""
    logits = np.random.default_rng(seed).normal(size=(LONGEST, vocabulary, vocabulary))
    return logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))


def sum_logprobs(table: np.ndarray, tokens: tuple[int, ...]) -> float:
    pairs = itertools.pairwise((START, *tokens))
    return sum(table[position, before, after] for position, (before, after) in enumerate(pairs))


def run(table: np.ndarray, options: GenerationOptions, max_steps: int | None = None) -> BeamSearch:
    search = BeamSearch(options, START, EOS)
    while not search.done and (max_steps is None or search.steps < max_steps):
        totals = (np.array(search.sums)[:, None] + table[search.steps, search.tokens]).ravel()
        if search.steps < options.min_new_tokens:
            totals[EOS :: table.shape[-1]] = -np.inf
        best = np.argsort(-totals, kind="stable")[: search.wanted]
        best = best[np.isfinite(totals[best])]
        beams, tokens = np.divmod(best, table.shape[-1])
        search.advance(totals[best].tolist(), beams.tolist(), tokens.tolist())
    return search


def every_sequence(table: np.ndarray, options: GenerationOptions) -> list[tuple[float, tuple[int, ...]]]:
    """Return all complete sequences and their scores, best first: those that end, and those that the limit cuts."""
    others = [token for token in range(table.shape[-1]) if token != EOS]
    complete = []
    for length in range(options.min_new_tokens, options.max_new_tokens):
        complete += [(*tokens, EOS) for tokens in itertools.product(others, repeat=length)]
    complete += list(itertools.product(others, repeat=options.max_new_tokens))
    scored = []
    for tokens in complete:
        total = sum_logprobs(table, tokens)
        scored.append((total / len(tokens) ** options.length_penalty, tuple(t for t in tokens if t != EOS)))
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize(("shortest", "longest"), [(0, 3), (1, 3), (2, 3)])
def test_a_beam_as_wide_as_the_search_space_finds_the_best_sequences(
    seed: int, length_penalty: float, shortest: int, longest: int
) -> None:
    table = transition_table(seed, vocabulary=4)
    options = GenerationOptions(
        num_beams=64,
        num_return_sequences=8,
        length_penalty=length_penalty,
        early_stopping="never",
        min_new_tokens=shortest,
        max_new_tokens=longest,
    )
    found = run(table, options).hypotheses()
    expected = every_sequence(table, options)[:8]
    assert [hypothesis.token_ids for hypothesis in found] == [tokens for _, tokens in expected]
    np.testing.assert_allclose([hypothesis.score for hypothesis in found], [score for score, _ in expected])


def test_a_score_is_the_sum_divided_by_a_power_of_the_length_with_the_end() -> None:
    table = transition_table(3)
    options = GenerationOptions(num_beams=2, num_return_sequences=2, length_penalty=2.0, max_new_tokens=6)
    for hypothesis in run(table, options).hypotheses():
        ids = (*hypothesis.token_ids, *([EOS] if hypothesis.finished else []))
        assert hypothesis.sum_logprobs == pytest.approx(sum_logprobs(table, ids))
        assert hypothesis.score == pytest.approx(hypothesis.sum_logprobs / len(ids) ** 2)


def test_open_beams_at_the_length_limit_become_unfinished_hypotheses() -> None:
    table = transition_table(0)
    table[:, :, EOS] = -50.0
    search = run(table, GenerationOptions(num_beams=3, num_return_sequences=3, max_new_tokens=4))
    assert search.steps == 4
    assert [(len(h.token_ids), h.finished) for h in search.hypotheses()] == [(4, False)] * 3


def test_no_hypothesis_ends_before_min_new_tokens() -> None:
    table = transition_table(0)
    table[:, :, EOS] = 0.0  # the end is always the likeliest
    options = GenerationOptions(num_beams=2, num_return_sequences=2, min_new_tokens=3, max_new_tokens=8)
    assert min(len(h.token_ids) for h in run(table, options).hypotheses()) == 3


def test_early_stopping_ends_the_search_with_a_full_list_and_never_does_not() -> None:
    table = transition_table(1)
    steps = {
        mode: run(table, GenerationOptions(num_beams=2, num_return_sequences=2, early_stopping=mode)).steps
        for mode in (True, False, "never")
    }
    assert steps[True] <= steps[False] <= steps["never"]
    assert steps[True] < steps["never"]


def test_before_any_sequence_has_ended_there_are_no_hypotheses() -> None:
    table = transition_table(0)
    search = run(table, GenerationOptions(num_beams=2, num_return_sequences=2, min_new_tokens=3), max_steps=2)
    assert not search.done
    assert search.hypotheses() == ()


def test_a_cut_search_returns_only_finished_hypotheses() -> None:
    table = transition_table(2)
    whole = run(table, GenerationOptions(num_beams=4, num_return_sequences=4, early_stopping="never"))
    for steps in range(1, whole.steps):
        cut = run(table, GenerationOptions(num_beams=4, num_return_sequences=4, early_stopping="never"), steps)
        assert all(h.finished and len(h.token_ids) < steps for h in cut.hypotheses())


def test_no_more_than_num_return_sequences_are_returned() -> None:
    table = transition_table(2)
    eight = run(table, GenerationOptions(num_beams=4, num_return_sequences=4)).hypotheses()
    assert run(table, GenerationOptions(num_beams=4, num_return_sequences=1)).hypotheses() == eight[:1]
