"""What each token of a byte-level tokenizer adds to the text, as the matcher of prohibited terms reads it.

A token is bytes, and may end in the middle of a character: the bytes left over are passed on to the next token. The
text of a hypothesis is the UTF-8 of all its bytes, with U+FFFD for bytes that are none, and special tokens have no
text: this is what `Bundle.decode` returns.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass

from tokenizers import Tokenizer

from evidence.readings import LATIN, LOOK_ALIKE, PLAIN, READINGS
from evidence.runs import Run, runs_of
from generation.errors import ConstraintError

_UTF8 = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class Added:
    """What a token adds to a text.

    runs: of letters, in each reading.
    is_latin: whether these are of Latin letters and digits alone, and PLAIN and LOOK_ALIKE the same.
    tail: the bytes of an incomplete character at its end.
    """

    runs: tuple[tuple[Run, ...], ...]
    is_latin: bool
    tail: bytes


def _byte_of_character() -> dict[str, int]:
    """The alphabet of byte-level tokenizers: printable Latin-1 is itself, other bytes are characters from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def token_bytes(tokenizer: Tokenizer, vocab_size: int) -> list[bytes]:
    """Return the bytes of every token id; none for special tokens and for ids without a meaning.

    Raises:
        ConstraintError: the tokenizer is not byte-level, so that its tokens are not bytes of the text.
    """
    decoder = json.loads(tokenizer.to_str())["decoder"]
    if decoder is None or decoder["type"] != "ByteLevel":
        raise ConstraintError(
            "prohibited phrases need a byte-level tokenizer and this bundle has another; "
            "serve a bundle whose tokenizer was made by `onebar train tokenizer`"
        )
    alphabet = _byte_of_character()
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    made = [b""] * vocab_size
    for token, token_id in tokenizer.get_vocab(with_added_tokens=True).items():
        if token in special:
            continue
        if all(character in alphabet for character in token):
            made[token_id] = bytes(alphabet[character] for character in token)
        else:  # an added token that is not special is plain text
            made[token_id] = token.encode()
    return made


def read_bytes(added: bytes, tail: bytes = b"") -> Added:
    """Return what bytes add behind a text that ends in the incomplete character `tail`."""
    decoder = _UTF8("replace")
    text = decoder.decode(tail + added)
    runs = tuple([tuple(runs_of(text, reading)) for reading in READINGS])
    plain = runs[PLAIN]
    is_latin = plain == runs[LOOK_ALIKE] and all(run.scripts in (0, LATIN) for run in plain)
    return Added(runs, is_latin, decoder.getstate()[0])
