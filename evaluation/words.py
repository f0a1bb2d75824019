"""The words of a text, as slices, reading recall and the matching of entities count them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

# A character of a script without spaces (from U+2E80 on: Chinese, Japanese, Korean) is a word.
_WORD = re.compile(r"[^\W\u2e80-\U0010ffff]+|(?=\w)[\u2e80-\U0010ffff]")


@lru_cache(maxsize=1 << 17)
def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a cleaned text, case-folded; punctuation and signs are left out."""
    return tuple(_WORD.findall(text.casefold()))


def has_phrase(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Return whether the words of a phrase stand in `words` one after another; an empty phrase stands nowhere."""
    size = len(phrase)
    return size > 0 and any(
        tuple(words[start : start + size]) == tuple(phrase) for start in range(len(words) - size + 1)
    )
