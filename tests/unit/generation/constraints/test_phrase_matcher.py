"""Token by token or over the whole text, the verdict on prohibited terms is the same."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from evidence.errors import TermListError
from evidence.safety import ProhibitedTerms
from generation.constraints.phrases import PhraseMatcher, TextState
from generation.errors import ConstraintError
from tests.fixtures.tiny_bundle import build_tokenizer

FIRST_TEXT_TOKEN = 7
TRAINED = build_tokenizer()
GUN, BRANCH = "枪".encode(), "支".encode()

CASES = {
    "one word, spaced and pieced": (
        [" ", "v", "a", "va", "pe", "vape", "r", " vape", "-", "\u0301", "VAPE ", "e"],
        ["vape"],
    ),
    "a script without spaces, in bytes": (
        [" ", GUN[:1], GUN[1:], GUN[:2], GUN[2:], GUN, BRANCH, BRANCH[:2], BRANCH[2:] + b"a", "a枪", "b"],
        ["枪支", "a枪b", "b"],
    ),
    "letters that fold to several, and to other scripts": (
        [" ", GUN[:2], GUN[2:], b"\x80 a", "ß", "s", "Ａ", "½", "2", "1", "ﷺ", b"\xf0\x9d", b"\x9a\x8a"],
        ["ss", "a1", "1 2", "s2s", "الله"],
    ),
    "terms that share beginnings and ends": (
        [" ", "a", "b", "ab", "ba", "a b", ".", "aba "],
        ["ab", "aba b", "bb a", "a a a"],
    ),
    "look-alikes, alone and mixed with Latin letters": (
        [" ", "a", "\u0430", "\u03b1", "b", "\u0432", "ab", "\u0455", "枪", "\u0430".encode()[:1], "-"],
        ["ab", "ba b", "\u0432\u0430", "s"],
    ),
    "digits and symbols for letters": (
        [" ", "a", "4", "@", "l", "1", "!", "ll", "2", "a1", "4l ", "!)"],
        ["all", "lla l", "a2a", "2 al"],
    ),
    "inflections, digits and styled letters at the ends of words": (
        [" ", "pot", "s", "es", "2", "\U0001f1f5", "\U0001f170", "p", "0t", "\u3164", "\u02bc"],
        ["pot", "pa p", "ps2"],
    ),
    "traditional characters": (
        [" ", "槍", "枪", "支", "槍".encode()[:1], "槍".encode()[1:], "a", "電", "电"],
        ["枪支", "電a"],
    ),
}


def after(matcher: PhraseMatcher, tokens: Sequence[int]) -> TextState | None:
    state: TextState | None = matcher.start
    for token in tokens:
        state = matcher.move(state, token) if state else None
    return state


def verdict(matcher: PhraseMatcher, tokens: tuple[int, ...]) -> bool:
    state = after(matcher, tokens)
    return state is None or state.ends_in_term


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_short_sequence_is_judged_as_its_text_is(case: str, byte_tokenizer) -> None:
    pieces, terms = CASES[case]
    tokenizer = byte_tokenizer(pieces)
    pairs = [("category", term) for term in terms]
    whole, matcher = ProhibitedTerms(pairs), PhraseMatcher(pairs, tokenizer)
    prohibited = 0
    tokens = range(FIRST_TEXT_TOKEN - 1, tokenizer.get_vocab_size())  # and one special token, which has no text
    for length in range(5):
        for sequence in itertools.product(tokens, repeat=length):
            expected = whole.find(tokenizer.decode(list(sequence))) is not None
            assert verdict(matcher, sequence) == expected, [tokenizer.id_to_token(t) for t in sequence]
            prohibited += expected
    assert prohibited > 100


def test_a_text_is_given_up_as_soon_as_nothing_can_save_it_and_not_before(byte_tokenizer) -> None:
    tokenizer = byte_tokenizer(["vape", "r", " ", "枪", "支", "\u0301"])
    vape, letter, space, gun, branch, accent = range(FIRST_TEXT_TOKEN, FIRST_TEXT_TOKEN + 6)
    matcher = PhraseMatcher([("tobacco", "vape"), ("weapons", "枪支")], tokenizer)
    undecided = after(matcher, [vape])
    assert undecided is not None
    assert undecided.ends_in_term
    assert after(matcher, [vape, accent]) is undecided
    innocent = after(matcher, [vape, letter])
    assert innocent is not None
    assert not innocent.ends_in_term
    assert after(matcher, [vape, space]) is None
    assert after(matcher, [vape, gun]) is not None  # a letter follows, so "vape" is no word
    assert after(matcher, [gun, space, branch]) is None


WORDS = st.sampled_from(
    [
        "red", "Shoes", "防晒霜", "vape", "VA PE", "枪", "支", "675NK", "é", "ﬁ", "ß", "𝐯ape", "😀", " ", ";", "槍",
        "v4pe", "vаpe", "$ex", "соке", "ｐ0t", "lips", "2024", "🅰", "🇻", "va\u3164pe",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=5), terms=st.lists(WORDS, max_size=4))
def test_any_text_is_judged_alike_in_the_tokens_of_a_trained_tokenizer(texts: list[str], terms: list[str]) -> None:
    tokenizer = TRAINED
    pairs = [("category", term) for term in terms if any(character.isalnum() for character in term)]
    tokens = tokenizer.encode(" ".join(texts), add_special_tokens=False).ids
    expected = ProhibitedTerms(pairs).find(tokenizer.decode(tokens)) is not None
    assert verdict(PhraseMatcher(pairs, tokenizer), tuple(tokens)) == expected


def test_forgetting_changes_no_verdict_and_bounds_what_is_kept(byte_tokenizer) -> None:
    pieces, terms = CASES["terms that share beginnings and ends"]
    tokenizer = byte_tokenizer(pieces)
    pairs = [("category", term) for term in terms]
    whole, forgetful = ProhibitedTerms(pairs), PhraseMatcher(pairs, tokenizer, moves_kept=5)
    gc.collect()
    before = states_alive()
    for sequence in itertools.product(range(FIRST_TEXT_TOKEN, tokenizer.get_vocab_size()), repeat=4):
        assert verdict(forgetful, sequence) == (whole.find(tokenizer.decode(list(sequence))) is not None)
    gc.collect()
    assert states_alive() - before <= 5


def states_alive() -> int:
    return sum(type(thing) is TextState for thing in gc.get_objects())


def test_a_tokenizer_that_is_not_byte_level_is_refused() -> None:
    tokenizer = Tokenizer(models.WordPiece(vocab={"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    with pytest.raises(ConstraintError, match="byte-level"):
        PhraseMatcher([("a", "vape")], tokenizer)


def test_a_term_without_letters_is_refused(byte_tokenizer) -> None:
    with pytest.raises(TermListError, match="no letter"):
        PhraseMatcher([("a", "!!!")], byte_tokenizer(["a"]))


def test_ids_past_the_tokenizer_have_no_text(byte_tokenizer) -> None:
    tokenizer = byte_tokenizer(["vape"])
    matcher = PhraseMatcher([("a", "vape")], tokenizer, vocab_size=tokenizer.get_vocab_size() + 3)
    assert after(matcher, [tokenizer.get_vocab_size() + 2]) is matcher.start
