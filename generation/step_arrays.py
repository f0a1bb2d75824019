"""The arrays of a decoder step: their shapes and types, checked before memory is handed to a backend.

Both backends read and write the arrays at their addresses, so that a wrong shape would be a read or a write out of
bounds. Dimensions are those of the decoder graph (docs/bundle_format.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.bundle.architecture import Architecture
from generation.tensor_names import cross_names, past_names, present_names

Arrays = Mapping[str, NDArray[Any]]


def check_step_arrays(sizes: Architecture, vocab_rows: int, inputs: Arrays, outputs: Arrays) -> None:
    """Check the arrays that a step is bound to.

    Args:
        sizes: of the model.
        vocab_rows: entries of a row of log-probabilities.
        inputs: by name, all of them.
        outputs: by name; "logprobs" may be left out. `present` must be the memory of `past`.

    Raises:
        ValueError: an array is missing, or has a shape, a type or a layout that the graphs do not have.
    """
    layers, heads, head_dim = sizes.decoder_layers, sizes.attention_heads, sizes.head_dim
    try:
        requests, beams = inputs["input_ids"].shape
        source = inputs["attention_mask"].shape[1]
        positions = inputs["past_key_0"].shape[2]
        candidates = outputs["sums"].shape[1]
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"a step lacks an array, or one has too few dimensions ({error})") from error
    cross = (np.float32, (requests, heads, source, head_dim))
    cache = (np.float32, (requests, heads, positions, beams, head_dim))
    of_inputs: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
        "input_ids": (np.int64, (requests, beams)),
        "positions": (np.int64, (requests,)),
        "beam_scores": (np.float32, (requests, beams)),
        "num_candidates": (np.int64, (1,)),
        "attention_mask": (np.int32, (requests, source)),
        "self_bias": (np.float32, (requests, 1, beams, positions * beams)),
        "cache_indices": (np.int64, (requests, heads, 3)),
        **dict.fromkeys(cross_names(layers), cross),
        **dict.fromkeys(past_names(layers), cache),
    }
    of_outputs: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
        "sums": (np.float32, (requests, candidates)),
        "tokens": (np.int64, (requests, candidates)),
        "beams": (np.int64, (requests, candidates)),
        "special_logprobs": (np.float32, (requests, beams, 2)),
        **dict.fromkeys(present_names(layers), cache),
    }
    if "logprobs" in outputs:
        of_outputs["logprobs"] = (np.float32, (requests, beams, vocab_rows))
    for given, expected in ((inputs, of_inputs), (outputs, of_outputs)):
        if given.keys() != expected.keys():
            raise ValueError(f"a step has the arrays {sorted(expected)}, got {sorted(given)}")
        for name, (dtype, shape) in expected.items():
            array = given[name]
            if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
                raise ValueError(
                    f"{name} must be contiguous, {np.dtype(dtype).name} and of shape {shape}, "
                    f"got {array.dtype.name} {array.shape}"
                )
    for past, present in zip(past_names(layers), present_names(layers), strict=True):
        if inputs[past].ctypes.data != outputs[present].ctypes.data:
            raise ValueError(f"{present} must be the memory of {past}: the cache is updated in place")


def check_encoded(sizes: Architecture, length: int, values: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Return the cross-attention keys and values of a source of `length` tokens, if they have the model's shape.

    Raises:
        ValueError: they do not.
    """
    shape = (1, sizes.attention_heads, length, sizes.head_dim)
    if len(values) != 2 * sizes.decoder_layers or any(value.shape != shape for value in values):
        raise ValueError(f"an encoded source must be {2 * sizes.decoder_layers} arrays of shape {shape}")
    return values
