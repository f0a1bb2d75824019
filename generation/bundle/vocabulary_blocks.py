"""The blocks of the vocabulary that the decoder graph searches, and the rows of the embedding that follow from them."""

from __future__ import annotations

from generation.options import MAX_BEAMS

SPARE_FACTOR = 3  # candidates that the decoder graph returns for each beam


def block_width(vocab_size: int) -> int:
    """Return the width of the blocks that a vocabulary is searched by; 1 where it is too small for blocks to pay.

    There must be a block for each of the candidates that a first step, of one beam, may ask for.
    """
    return next((width for width in (64, 32, 16, 8) if vocab_size >= width * SPARE_FACTOR * MAX_BEAMS), 1)


def whole_blocks(vocab_size: int) -> int:
    """Return the rows of an embedding that is filled up to whole blocks."""
    width = block_width(vocab_size)
    return -(-vocab_size // width) * width
