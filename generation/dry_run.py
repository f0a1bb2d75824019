"""One source and one decoder step through a bundle's sessions, when they are opened.

The graphs were checked before. This finds what no check of shapes can see: weights that are numbers and still give no
answer, and a backend whose results do not have the shape that the format states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from generation.bundle import Bundle
from generation.bundle.files import EXPORT_AGAIN, one_line
from generation.errors import BundleError
from generation.step_arrays import check_encoded
from generation.tensor_names import cross_names, past_names, present_names


class _Encoder(Protocol):
    def run(self, source_ids: Sequence[int]) -> list[NDArray[np.float32]]: ...


class _Decoder(Protocol):
    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]: ...


def dry_run(bundle: Bundle, encoder: _Encoder, decoder: _Decoder) -> None:
    """Encode the shortest source and decode its first token.

    Raises:
        BundleError: a session fails, or a result is not a number or out of range.
    """
    try:
        _run(bundle, encoder, decoder)
    except Exception as error:  # ORT's errors share no base but Exception
        raise BundleError(f"{bundle.path} cannot be run: {one_line(error)}; {EXPORT_AGAIN}") from error


def _run(bundle: Bundle, encoder: _Encoder, decoder: _Decoder) -> None:
    sizes, specials = bundle.architecture, bundle.special_tokens
    layers, heads, head_dim = sizes.decoder_layers, sizes.attention_heads, sizes.head_dim
    source = [specials.bos, specials.eos]
    encoded = check_encoded(sizes, len(source), encoder.run(source))
    cache = {name: np.zeros((1, heads, 1, 1, head_dim), np.float32) for name in past_names(layers)}
    written = np.zeros((1, heads, 3), np.int64)
    written[..., 1] = np.arange(heads)
    inputs: dict[str, NDArray[Any]] = {
        "input_ids": np.full((1, 1), specials.decoder_start, np.int64),
        "positions": np.zeros(1, np.int64),
        "beam_scores": np.zeros((1, 1), np.float32),
        "num_candidates": np.ones(1, np.int64),
        "attention_mask": np.ones((1, len(source)), np.int32),
        "self_bias": np.zeros((1, 1, 1, 1), np.float32),
        "cache_indices": written,
        **{name: np.ascontiguousarray(values) for name, values in zip(cross_names(layers), encoded, strict=True)},
        **cache,
    }
    sums, tokens, beams = np.zeros((1, 1), np.float32), np.full((1, 1), -1, np.int64), np.full((1, 1), -1, np.int64)
    watched = np.zeros((1, 1, 2), np.float32)
    present = dict(zip(present_names(layers), cache.values(), strict=True))
    outputs: dict[str, NDArray[Any]] = {
        "sums": sums,
        "tokens": tokens,
        "beams": beams,
        "special_logprobs": watched,
        **present,
    }
    decoder.bind(inputs, outputs)()
    if not all(np.isfinite(array).all() for array in (*encoded, *cache.values(), sums, watched)):
        raise ValueError("what its model puts out for the shortest source is not a number")
    if sums[0, 0] > 0 or watched.max() > 0 or beams[0, 0] != 0 or not 0 <= tokens[0, 0] < sizes.vocab_size:
        raise ValueError("the first token of the shortest source is out of range")
