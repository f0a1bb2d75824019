from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[SEP]", "[REJECT]"]

MakeTokenizer = Callable[[Sequence[str | bytes]], Tokenizer]


def letters_of_bytes() -> dict[int, str]:
    """The letters that stand for bytes, read off the library: one token for each byte of a text."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(0x800))) + "\u4e00\U00010000"
    texts = [text, "".join(chr(0x1000 * lead) for lead in range(1, 0xD)), "\uf000\U00040000\U00100000"]
    pairs: dict[int, str] = {}
    for sample in texts:
        letters = "".join(piece for piece, _ in splitter.pre_tokenize_str(sample))
        pairs.update(zip(sample.encode(), letters, strict=True))
    # Bytes that occur in no UTF-8 text have a letter too: those that are left of the alphabet, in order.
    missing = sorted(set(range(256)) - set(pairs))
    return pairs | dict(zip(missing, sorted(set(splitter.alphabet()) - set(pairs.values())), strict=True))


@pytest.fixture(scope="session")
def byte_tokenizer() -> MakeTokenizer:
    """Make a byte-level tokenizer whose tokens are the special ones and then exactly these pieces of text or bytes."""
    letters = letters_of_bytes()

    def make(pieces: Sequence[str | bytes]) -> Tokenizer:
        spelled = ["".join(letters[b] for b in (p.encode() if isinstance(p, str) else p)) for p in pieces]
        vocabulary = {token: token_id for token_id, token in enumerate([*SPECIAL_TOKENS, *spelled])}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
        return tokenizer

    return make
