"""Sizes and special tokens of a model, and the bounds in which a bundle's may lie."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from generation.errors import BundleError

MOST_WIDTH = 16_384
MOST_LAYERS = 64
MOST_POSITIONS = 65_536
MOST_VOCABULARY = 1 << 22
LEAST_VOCABULARY = 8
MOST_FEED_FORWARD = 65_536  # more products of two bytes than this could overflow a sum of 32 bits
INT8_GROUP = 4  # VNNI multiplies four bytes at once, so that int8 widths are multiples of this


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids of the tokens that the search and the policy treat specially. `decoder_start` is a decoder's first input."""

    bos: int
    pad: int
    eos: int
    unk: int
    mask: int
    sep: int
    reject: int
    decoder_start: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the model. max_positions counts tokens of a source, and of a target."""

    d_model: int
    encoder_layers: int
    decoder_layers: int
    attention_heads: int
    vocab_size: int
    max_positions: int

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.attention_heads


def check_architecture(sizes: Architecture, specials: SpecialTokens, *, int8: bool) -> None:
    """Check sizes and ids against their bounds and each other.

    Raises:
        BundleError: one of them cannot be; the message names it.
    """
    bounds = {
        "d_model": (1, MOST_WIDTH),
        "encoder_layers": (1, MOST_LAYERS),
        "decoder_layers": (1, MOST_LAYERS),
        "attention_heads": (1, MOST_WIDTH),
        "vocab_size": (LEAST_VOCABULARY, MOST_VOCABULARY),
        "max_positions": (2, MOST_POSITIONS),
    }
    for name, value in asdict(sizes).items():
        least, most = bounds[name]
        if not least <= value <= most:
            raise BundleError(f"architecture.{name} must be {least} to {most}")
    if sizes.d_model % sizes.attention_heads:
        raise BundleError(
            f"architecture.d_model {sizes.d_model} is no multiple of attention_heads {sizes.attention_heads}"
        )
    if int8 and sizes.d_model % INT8_GROUP:
        raise BundleError(f"architecture.d_model of an int8 bundle must be a multiple of {INT8_GROUP}")
    ids = asdict(specials)
    for name, value in ids.items():
        if value >= sizes.vocab_size:
            raise BundleError(f"special_tokens.{name} is not below vocab_size {sizes.vocab_size}")
    del ids["decoder_start"]
    if len(set(ids.values())) != len(ids):
        raise BundleError("two special_tokens have the same id")
