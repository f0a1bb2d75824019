"""English inflections, by spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.inflections import inflected


@pytest.mark.parametrize(
    ("word", "plurals"),
    [
        ("vape", "vapes"), ("gun", "guns"), ("body", "bodies"), ("toy", "toys"), ("switch", "switches"),
        ("box", "boxes"),
        ("glass", "glasses"), ("cannabis", "cannabises"), ("casino", "casinos casinoes"),
        ("knife", "knifes knives"), ("knuckles", ""), ("nk", ""), ("ak47", ""), ("вейп", ""), ("café", ""), ("", ""),
    ],
)  # fmt: skip
def test_plurals(word: str, plurals: str) -> None:
    assert inflected(word, "plurals") == tuple(plurals.split())


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("vape", "vapes vaping vaped"), ("gun", "guns gunning gunned"), ("smoke", "smokes smoking smoked"),
        ("marry", "marries marrying married"), ("flee", "flees fleeing fleed"), ("hack", "hacks hacking hacked"),
    ],
)  # fmt: skip
def test_all_inflections(word: str, forms: str) -> None:
    assert inflected(word, "all") == tuple(forms.split())


@given(word=st.text("aeioubcdfghklmnprstvxyz", max_size=12))
def test_there_are_at_most_four_and_never_the_word_itself(word: str) -> None:
    assert inflected(word, "none") == ()
    forms = inflected(word, "all")
    assert len(forms) <= 4
    assert word not in forms
    assert set(inflected(word, "plurals")) <= set(forms)
