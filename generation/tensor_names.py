"""Names of the graphs' inputs and outputs that there is one of for each decoder layer, in the order of the graphs."""

from __future__ import annotations


def cross_names(decoder_layers: int) -> list[str]:
    """Return the names of the cross-attention keys and values."""
    return [f"cross_{part}_{index}" for index in range(decoder_layers) for part in ("key", "value")]


def past_names(decoder_layers: int) -> list[str]:
    """Return the names of the cache that a decoder step takes."""
    return [f"past_{part}_{index}" for index in range(decoder_layers) for part in ("key", "value")]


def present_names(decoder_layers: int) -> list[str]:
    """Return the names of the cache that a decoder step returns; each is the next step's past of the same place."""
    return [f"present_{part}_{index}" for index in range(decoder_layers) for part in ("key", "value")]
