from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from generation.bundle import SpecialTokens
from generation.logits_processors import (
    Allowed,
    Banned,
    Constraints,
    Filtered,
    MinNewTokens,
    NoRepeatNgrams,
    Restriction,
    combine,
    forbids,
    from_options,
)
from generation.options import GenerationOptions
from tests.unit.generation.constraints.permitted import restriction

EOS = START = 2
SPECIALS = SpecialTokens(bos=0, pad=1, eos=EOS, unk=3, mask=4, sep=5, reject=6, decoder_start=START)


def banned(*token_ids: int) -> Banned:
    return Banned(frozenset(token_ids))


def allowed(*token_ids: int) -> Allowed:
    return Allowed(np.array(token_ids, np.int64))


def filtered(*token_ids: int) -> Filtered:
    return Filtered(frozenset(token_ids).__contains__)


def permitted(restriction: Restriction, vocabulary: int) -> set[int]:
    return {token for token in range(vocabulary) if not forbids(restriction, token)}


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        (None, {0, 1, 2, 3}),
        (banned(1), {0, 2, 3}),
        (allowed(1, 3), {1, 3}),
        (allowed(), set()),
        (filtered(2), {0, 1, 3}),
    ],
)
def test_a_restriction_permits_exactly_its_tokens(restriction: Restriction, expected: set[int]) -> None:
    assert permitted(restriction, 4) == expected


def test_the_end_is_forbidden_until_there_are_enough_tokens() -> None:
    processor = MinNewTokens(2, EOS)
    states = processor.follow([processor.begin()], [0, 0], [7, 8])
    assert states is not None
    assert processor.restrict([processor.begin()]) == [banned(EOS)]
    assert processor.restrict(states) == [banned(EOS)] * 2
    assert processor.follow(states, [0, 1], [7, 8]) is None


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_token_that_would_repeat_an_ngram_is_forbidden_and_no_other(size: int) -> None:
    generator = np.random.default_rng(size)
    processor = NoRepeatNgrams(size, START)
    for _ in range(300):
        prefix = tuple(generator.integers(2, 6, generator.integers(0, 9)).tolist())
        tokens = (START, *prefix)
        seen = {tokens[start : start + size] for start in range(len(tokens) - size + 1)}
        found = restriction(processor, prefix)
        for token in range(8):
            new = (*tokens, token)[-size:]
            repeats = len(tokens) + 1 >= size and new in seen
            assert (token not in permitted(found, 8)) == repeats


@pytest.mark.parametrize("first", [None, banned(), banned(1, 2), allowed(), allowed(0, 2, 4), filtered(2, 5)])
@pytest.mark.parametrize("second", [None, banned(2, 3), allowed(1, 2, 3, 4), filtered(1, 4)])
def test_two_restrictions_permit_what_both_permit(first: Restriction, second: Restriction) -> None:
    expected = permitted(first, 6) & permitted(second, 6)
    assert permitted(combine(first, second), 6) == expected
    assert permitted(combine(second, first), 6) == expected


class FirstBeamTo:
    """A constraint that lets the first beam go on with some tokens only."""

    def __init__(self, *tokens: int) -> None:
        self._tokens = tokens

    def begin(self) -> None: ...

    def follow(self, states: Sequence[None], beam_indices: Sequence[int], tokens: Sequence[int]) -> Sequence[None]:
        return [None] * len(tokens)

    def restrict(self, states: Sequence[None]) -> Sequence[Restriction]:
        return [allowed(*self._tokens), *[None] * (len(states) - 1)]


def test_processors_are_combined_beam_by_beam() -> None:
    constraints = Constraints([MinNewTokens(2, EOS), FirstBeamTo(EOS, 7)])
    assert [permitted(found, 9) for found in constraints.restrictions()] == [{7}]
    constraints.follow([0, 0], [7, 7])
    found = constraints.restrictions()
    assert permitted(found[0], 9) == {7}
    assert found[1] == banned(EOS)


def test_processors_that_forbid_nothing_any_more_are_left_out() -> None:
    constraints = Constraints([MinNewTokens(1, EOS)])
    assert constraints
    constraints.follow([0, 0], [7, 8])
    assert not constraints


def test_a_processor_must_return_a_restriction_for_every_beam() -> None:
    class Silent(FirstBeamTo):
        def restrict(self, states: Sequence[None]) -> Sequence[Restriction]:
            return []

    with pytest.raises(ValueError, match="restricted 0 of 1 beams"):
        Constraints([Silent()]).restrictions()


def test_options_become_the_corresponding_processors() -> None:
    assert from_options(GenerationOptions(min_new_tokens=0), SPECIALS) == ()
    made = from_options(GenerationOptions(min_new_tokens=3, no_repeat_ngram_size=2), SPECIALS)
    assert made == (MinNewTokens(3, EOS), NoRepeatNgrams(2, START))
