"""Entries among the hypotheses of a search: what constraints leave of them, how they rank, when the search may end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from generation.beam import BeamSearch, Hypothesis
from generation.logits_processors import Banned, NoRepeatNgrams, Restriction
from generation.mixture import add_entries, keep_allowed, least_score
from generation.options import GenerationOptions
from generation.pointer import NOTHING_POINTED, Pointed, Pointer, add_logs

EOS = 2
OPTIONS = GenerationOptions(num_beams=2, num_return_sequences=2, length_penalty=0.0, max_new_tokens=4)


@dataclass(frozen=True)
class Never:
    """Forbids a token everywhere."""

    token: int

    def begin(self) -> None:
        return None

    def follow(self, states: Sequence[None], beam_indices: Sequence[int], tokens: Sequence[int]) -> list[None]:
        return [None] * len(tokens)

    def restrict(self, states: Sequence[None]) -> list[Restriction]:
        return [Banned(frozenset((self.token,)))] * len(states)


def pointed(*entries: tuple[int, ...]) -> Pointed:
    return Pointed(math.log(0.5), {tokens: math.log(0.5 / len(entries)) for tokens in entries})


def test_without_constraints_every_entry_stays() -> None:
    given = pointed((7, 8), (9,))
    assert keep_allowed(given, OPTIONS, (), EOS) is given


@pytest.mark.parametrize(
    ("token", "left"), [(7, {(9,), (9, 8)}), (8, {(9,)}), (EOS, set()), (30, {(7, 8), (9,), (9, 8)})]
)
def test_an_entry_with_a_forbidden_token_goes(token: int, left: set[tuple[int, ...]]) -> None:
    assert set(keep_allowed(pointed((7, 8), (9,), (9, 8)), OPTIONS, [Never(token)], EOS).entries) == left


def test_constraints_follow_each_entry_by_itself() -> None:
    kept = keep_allowed(pointed((7, 7, 7), (7, 8), (8, 7)), OPTIONS, [NoRepeatNgrams(2, EOS)], EOS)
    assert set(kept.entries) == {(7, 8), (8, 7)}


def test_an_entry_that_is_longer_than_a_query_may_be_goes() -> None:
    assert set(keep_allowed(pointed((7, 8, 9), (7, 8, 9, 9)), OPTIONS, (), EOS).entries) == {(7, 8, 9)}


def test_a_query_that_is_generated_and_pointed_at_has_both_probabilities() -> None:
    given = Pointed(math.log(0.6), {(7,): math.log(0.3), (8,): math.log(0.1)})
    generated = Hypothesis((7,), math.log(0.15), math.log(0.15), True)
    best, second = add_entries([generated], given, OPTIONS, {(7,): math.log(0.15)})
    assert best.token_ids == (7,)
    assert math.exp(best.sum_logprobs) == pytest.approx(0.45)
    assert best.pointed == pytest.approx(0.3 / 0.45)
    assert (second.token_ids, second.pointed) == ((8,), 1.0)


def test_scores_are_divided_by_length_as_those_of_the_search() -> None:
    options = GenerationOptions(num_beams=2, num_return_sequences=2, length_penalty=1.0)
    (entry,) = add_entries([], Pointed(math.log(0.5), {(7, 8): math.log(0.5)}), options, {})
    assert entry.score == pytest.approx(math.log(0.5) / 3)


def test_without_entries_the_hypotheses_are_those_of_the_search() -> None:
    found = (Hypothesis((7,), -1.0, -1.0, True),)
    assert add_entries(found, NOTHING_POINTED, OPTIONS, {}) == found


def test_an_entry_has_its_generated_probability_though_better_hypotheses_took_its_place() -> None:
    given = Pointed(math.log(0.6), {(7,): math.log(0.2), (8,): math.log(0.2)})
    search = BeamSearch(OPTIONS, EOS, EOS, given.generate, entries=given.entries)
    search.advance([-1.0, -1.1, -1.2, -1.3], [0, 0, 0, 0], [7, 5, 6, 9], [-9.0])
    search.advance([-2.0, -2.1, -2.2, -2.3], [0, 0, 1, 1], [EOS, 5, 5, 6], [-9.0, -9.0])
    assert search.ended_entries == {(7,): -2.0}
    better = [Hypothesis((n,), -0.5, -0.5, True) for n in (5, 6)]
    best = add_entries(better, given, GenerationOptions(length_penalty=0.0), search.ended_entries)
    assert math.exp(next(h.sum_logprobs for h in best if h.token_ids == (7,))) == pytest.approx(0.2 + math.exp(-2.0))


def test_a_search_ends_when_no_open_beam_can_beat_the_entries() -> None:
    given = pointed((7,), (8,))
    least = least_score(given, OPTIONS)
    assert least == pytest.approx(math.log(0.25))
    search = BeamSearch(OPTIONS, EOS, EOS, given.generate, least)
    assert search.sums == [given.generate]
    search.advance([least + 0.1, least - 1.0], [0, 0], [5, 6], [-9.0])
    assert not search.done
    search.advance([least - 0.1, least - 0.2], [0, 0], [5, 6], [-9.0, -9.0])
    assert search.done


def test_fewer_entries_than_beams_end_no_search() -> None:
    assert least_score(pointed((7,)), OPTIONS) == -math.inf


def test_equal_entries_add_up() -> None:
    pointer = Pointer(
        np.zeros((2, 1), np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32), np.zeros(48, np.float32),
        np.zeros(2, np.float32), 0.0, separator=5, between=27,
    )  # fmt: skip
    source = [0, 5, 5, 40, 27, 41, 5, 40, 5, 2]
    found = pointer.read(np.zeros((1, 1, len(source), 2), np.float32), source)
    assert {tokens: math.exp(logprob) for tokens, logprob in found.entries.items()} == {
        (40,): pytest.approx(0.5),
        (41,): pytest.approx(0.25),
    }
    assert math.exp(found.generate) == pytest.approx(0.25)


def test_logs_are_added_without_overflow() -> None:
    assert add_logs(-1000.0, -1000.0) == pytest.approx(-1000.0 + math.log(2))
    assert add_logs(-math.inf, -3.0) == -3.0
    assert add_logs(-math.inf, -math.inf) == -math.inf
