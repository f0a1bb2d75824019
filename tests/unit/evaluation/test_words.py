"""The words of a text, and phrases in it."""

from __future__ import annotations

import pytest

from evaluation.words import has_phrase, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ryoeltech Prime-2, review!", ("ryoeltech", "prime", "2", "review")),
        ("4k dash cam", ("4k", "dash", "cam")),
        ("油皮 防晒霜 SPF50", ("油", "皮", "防", "晒", "霜", "spf50")),
        ("CFMOTO摩托", ("cfmoto", "摩", "托")),
        ("$$ !", ()),
    ],
)
def test_words_are_case_folded_and_a_chinese_character_is_one(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


def test_a_phrase_is_whole_words_one_after_another() -> None:
    words = words_of("a baby monitor for twins")
    assert has_phrase(words, words_of("baby monitor"))
    assert has_phrase(words, words_of("twins"))
    assert not has_phrase(words, words_of("monitor twins"))
    assert not has_phrase(words, words_of("baby monit"))
    assert not has_phrase(words, ())
    assert has_phrase(words_of("适合油皮的防晒霜"), words_of("防晒霜"))
