"""Case, width, spacing and zero-width characters do not hide a term; test_evasions.py has further disguises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.errors import TermListError
from evidence.safety import Match, ProhibitedTerms

TERMS = ProhibitedTerms([("tobacco", "vape"), ("adult", "sex toy"), ("weapons", "枪支"), ("tobacco", "e-cigarette")])


@pytest.mark.parametrize(
    "text",
    [
        "cheap vape pen", "VAPE", "ＶＡＰＥ", "v a p e", "v.a.p.e", "va\u200bpe", "v-a_p*e", "vàpe", "buy:vape!",
        "sex\u00a0toy", "sextoy", "E CIGARETTE refill", "ecigarette",
    ],
)  # fmt: skip
def test_tricks_do_not_hide_a_term(text: str) -> None:
    assert TERMS.find(text) is not None


@pytest.mark.parametrize("text", ["正品枪支出售", "枪 支", "枪\u200b支"])
def test_scripts_without_spaces_match_anywhere(text: str) -> None:
    assert TERMS.find(text) == Match("weapons", "枪支")


@pytest.mark.parametrize("text", ["vaper convention", "evapers", "Essex toys", "av ape", "the cave pencil", "", "🔫"])
def test_a_word_that_merely_contains_a_term_is_left_alone(text: str) -> None:
    assert TERMS.find(text) is None


def test_an_empty_list_finds_nothing() -> None:
    assert ProhibitedTerms([]).find("vape") is None


def test_a_hundred_thousand_terms_are_all_found() -> None:
    terms = ProhibitedTerms(("t", f"bad word {i}") for i in range(100_000))
    assert len(terms) == 100_000
    assert terms.find("a BAD-WORD 99999 b") == Match("t", "bad word 99999")
    assert terms.find("a bad word 100000 b") is None


NOISE = st.text("\u200b\u200d .-_*", max_size=2)


@given(before=NOISE, gaps=st.lists(NOISE, min_size=3, max_size=3), after=NOISE)
def test_noise_between_letters_never_hides_a_term(before: str, gaps: list[str], after: str) -> None:
    disguised = "v" + gaps[0] + "a" + gaps[1] + "p" + gaps[2] + "e"
    assert TERMS.find(f"a {before}{disguised}{after} b") == Match("tobacco", "vape")


@given(text=st.text())
def test_any_text_can_be_searched(text: str) -> None:
    TERMS.find(text)


def test_a_term_without_letters_is_refused() -> None:
    with pytest.raises(TermListError, match="no letter"):
        ProhibitedTerms([("a", "!!!")])
