"""Reading a bundle's tokenizer, and checking that it is the one of the model."""

from __future__ import annotations

from tokenizers import Tokenizer

from evidence.tokens import SPECIAL_TOKENS
from generation.bundle.architecture import Architecture, SpecialTokens
from generation.bundle.files import one_line
from generation.errors import BundleError

_PROBE = "Red shoes 2024, 防晒霜 é"


def read_tokenizer(content: bytes, sizes: Architecture, specials: SpecialTokens) -> Tokenizer:
    """Return the tokenizer, tried once in both directions.

    Args:
        content: of its file.
        sizes: of the model.
        specials: of the model, which must be the tokenizer's.

    Raises:
        BundleError: it cannot be read or used, or has other ids than the model.
    """
    try:
        tokenizer = Tokenizer.from_buffer(content)
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        ids = tokenizer.encode(_PROBE, add_special_tokens=False).ids
        tokenizer.decode(sorted(vocabulary.values()), skip_special_tokens=True)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # `tokenizers` raises a bare Exception, and a panic of Rust is no Exception
        raise BundleError(f"its content is no tokenizer ({one_line(error)})") from error
    largest = max(vocabulary.values(), default=-1)
    if len(vocabulary) > sizes.vocab_size:
        raise BundleError(f"it has {len(vocabulary)} entries and the model only {sizes.vocab_size}")
    if largest >= sizes.vocab_size or max(ids, default=0) >= sizes.vocab_size:
        raise BundleError(f"it has the id {largest} and the model only {sizes.vocab_size} tokens")
    for name, token in SPECIAL_TOKENS.items():
        if vocabulary.get(token) != getattr(specials, name):
            raise BundleError(f"it does not give {token} the id {getattr(specials, name)} of special_tokens")
    return tokenizer
