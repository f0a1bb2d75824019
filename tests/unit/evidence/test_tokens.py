"""The special tokens have one list, which new tokenizers and old checkpoints are read by."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models

from evidence.errors import RenderError
from evidence.tokens import SPECIAL_TOKENS, special_token_ids


def tokenizer_with(tokens: list[str]) -> Tokenizer:
    return Tokenizer(models.WordLevel({token: place for place, token in enumerate(tokens)}, unk_token="<unk>"))


def test_ids_are_found_by_name() -> None:
    names = ["bos", "pad", "eos", "unk", "mask", "sep", "reject"]
    assert list(SPECIAL_TOKENS) == names
    assert special_token_ids(tokenizer_with(list(SPECIAL_TOKENS.values()))) == dict(zip(names, range(7), strict=True))


def test_a_missing_token_is_named() -> None:
    with pytest.raises(RenderError, match=r"no \[REJECT\]; train one"):
        special_token_ids(tokenizer_with(list(SPECIAL_TOKENS.values())[:-1]))
