"""Which tokens may follow a beam, and searches under that constraint, against enumeration of all texts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from evidence.safety import ProhibitedTerms
from generation.beam import BeamSearch, Hypothesis
from generation.bundle import load_bundle
from generation.constraints.prohibited import ProhibitedPhrases
from generation.logits_processors import forbids
from generation.options import GenerationOptions
from tests.unit.generation.constraints.permitted import restriction

EOS, FIRST_TEXT_TOKEN = 2, 7
LONGEST = 16
Forbids = Callable[[tuple[int, ...], int], bool]


def compiled(terms: Sequence[str], tokenizer: Tokenizer) -> tuple[ProhibitedPhrases, ProhibitedTerms]:
    pairs = [("category", term) for term in terms]
    return ProhibitedPhrases(pairs, tokenizer, EOS, tokenizer.get_vocab_size()), ProhibitedTerms(pairs)


GUN, BRANCH = "枪".encode(), "支".encode()
CASES = {
    "words": ([" ", "v", "a", "pe", "vape", "r", " vape", "-", "\u0301"], ["vape"]),
    "bytes": ([" ", GUN[:2], GUN[2:], GUN, BRANCH, BRANCH[:1], BRANCH[1:] + b"a", "b", "枪支"], ["枪支", "a枪b", "b"]),
    "breaks inside of tokens": (["a b", "ab", "b", " ", "½", "1", "\u2044", "2"], ["ab", "1 2", "b ab"]),
    "disguises": ([" ", "a", "\u0430", "4", "b", "8", "ab", "s"], ["ab", "bab s"]),
    "digits": ([" ", "a", "2", "a2", "2a", "\u0301", "s"], ["a", "2 a"]),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_token_is_forbidden_where_no_innocent_text_can_come_of_it(case: str, byte_tokenizer) -> None:
    """One more letter may save a text that ends in a term; nothing else may."""
    pieces, terms = CASES[case]
    tokenizer = byte_tokenizer([*pieces, "z"])
    phrases, whole = compiled(terms, tokenizer)
    letter = tokenizer.get_vocab_size() - 1
    tokens = range(FIRST_TEXT_TOKEN - 1, tokenizer.get_vocab_size())
    continuations = [(), *itertools.product(tokens, repeat=1), *itertools.product(tokens, (letter,))]

    def innocent(sequence: tuple[int, ...]) -> bool:
        return whole.find(tokenizer.decode(list(sequence))) is None

    forbidden = 0
    for length in range(4):
        for prefix in itertools.product(tokens, repeat=length):
            if not any(innocent(prefix + more) for more in continuations):
                continue  # no search gets here
            said = restriction(phrases, prefix)
            assert forbids(said, EOS) == (not innocent(prefix))
            for token in tokens:
                saved = any(innocent((*prefix, token, *more)) for more in continuations)
                assert forbids(said, token) == (not saved)
                forbidden += not saved
    assert forbidden > 50


def test_beams_are_answered_in_their_order_and_each_for_itself(byte_tokenizer) -> None:
    tokenizer = byte_tokenizer(["vape", " ", "r"])
    vape, space, letter = range(FIRST_TEXT_TOKEN, FIRST_TEXT_TOKEN + 3)
    phrases, _ = compiled(["vape"], tokenizer)
    first = phrases.follow([phrases.begin()], [0, 0], [letter, vape])
    second = phrases.follow(first, [1, 0, 1], [letter, vape, space])
    answers = [*phrases.restrict(first), *phrases.restrict(second)]
    assert [forbids(answer, EOS) for answer in answers] == [False, True, False, False, True]
    assert [forbids(answer, letter) for answer in answers] == [False, False, False, False, True]


def test_an_empty_list_restricts_nothing(byte_tokenizer) -> None:
    phrases, _ = compiled([], byte_tokenizer(["枪", "a"]))
    assert [restriction(phrases, tokens) for tokens in ((), (FIRST_TEXT_TOKEN,))] == [None, None]
    assert len(phrases) == 0


def test_phrases_compile_over_a_bundle(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    phrases = ProhibitedPhrases.of_bundle([("tobacco", "vape"), ("weapons", "枪支")], bundle)
    prefix = tuple(bundle.tokenizer.encode("cheap vape", add_special_tokens=False).ids)
    assert len(phrases) == 2
    assert forbids(restriction(phrases, prefix), bundle.special_tokens.eos)


def transition_table(seed: int, vocabulary: int) -> np.ndarray:
    """log P(next token | position, last token); of the special tokens, only the end is ever written."""
    logits = np.random.default_rng(seed).normal(size=(LONGEST, vocabulary, vocabulary))
    logits[:, :, [token for token in range(FIRST_TEXT_TOKEN) if token != EOS]] = -np.inf
    return logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))


def run(table: np.ndarray, options: GenerationOptions, forbidden: Forbids) -> tuple[Hypothesis, ...]:
    search = BeamSearch(options, EOS, EOS)
    while not search.done:
        totals = np.array(search.sums)[:, None] + table[search.steps, search.tokens]
        for beam, prefix in enumerate(search.prefixes):
            for token in range(totals.shape[1]):
                if forbidden(prefix, token):
                    totals[beam, token] = -np.inf
        best = np.argsort(-totals.ravel(), kind="stable")[: search.wanted]
        best = best[np.isfinite(totals.ravel()[best])]
        beams, tokens = np.divmod(best, totals.shape[1])
        search.advance(totals.ravel()[best].tolist(), beams.tolist(), tokens.tolist())
    return search.hypotheses()


@pytest.mark.parametrize("seed", range(6))
def test_a_beam_as_wide_as_the_space_finds_the_best_innocent_texts(seed: int, byte_tokenizer) -> None:
    tokenizer = byte_tokenizer([" ", "a", "ab"])
    phrases, whole = compiled(["ab", "a a"], tokenizer)
    table = transition_table(seed, tokenizer.get_vocab_size())
    options = GenerationOptions(
        num_beams=64, num_return_sequences=64, early_stopping="never", min_new_tokens=0, max_new_tokens=4
    )
    answer = run(table, options, lambda prefix, token: forbids(restriction(phrases, prefix), token))
    found = [(hypothesis.token_ids, hypothesis.score) for hypothesis in answer if hypothesis.finished]
    expected = []
    for length in range(4):
        for tokens in itertools.product(range(FIRST_TEXT_TOKEN, FIRST_TEXT_TOKEN + 3), repeat=length):
            if whole.find(tokenizer.decode(list(tokens))) is None:
                pairs = itertools.pairwise((EOS, *tokens, EOS))
                total = sum(table[place, before, after] for place, (before, after) in enumerate(pairs))
                expected.append((tokens, total / (length + 1) ** options.length_penalty))
    expected.sort(key=lambda pair: -pair[1])
    assert len(expected) < 35  # of 40 texts
    assert len(found) > 10  # the worst are displaced by sequences that the limit cut
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in expected[: len(found)]]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected[: len(found)]])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_narrow_search_is_that_over_masked_log_probabilities(width: int, byte_tokenizer) -> None:
    tokenizer = byte_tokenizer([" ", "v", "a", "pe", "vape", "r", "-"])
    phrases, whole = compiled(["vape", "pe"], tokenizer)
    vape, letter = FIRST_TEXT_TOKEN + 4, FIRST_TEXT_TOKEN + 5
    options = GenerationOptions(num_beams=width, num_return_sequences=width, length_penalty=0.0, max_new_tokens=8)

    def hopeless(prefix: tuple[int, ...], token: int) -> bool:
        text = tokenizer.decode([*prefix, token])
        if whole.find(text) is None:
            return False
        return token == EOS or whole.find(tokenizer.decode([*prefix, token, letter])) is not None

    changed = 0
    for seed in range(12):
        table = transition_table(seed, tokenizer.get_vocab_size())
        table[0, :, vape] += 2.0  # the prohibited word is what the model likes best,
        table[1, vape, [EOS, FIRST_TEXT_TOKEN]] += 2.0  # and what makes a word of it
        found = run(table, options, lambda prefix, token: forbids(restriction(phrases, prefix), token))
        assert found == run(table, options, hopeless)
        assert all(whole.find(tokenizer.decode(list(h.token_ids))) is None for h in found if h.finished)
        changed += found != run(table, options, lambda prefix, token: False)
    assert changed > 3
