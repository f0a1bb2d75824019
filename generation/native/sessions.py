"""The two sessions of a bundle on the kernels, with the calls of those on ONNX Runtime (generation/session.py)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.bundle import Bundle
from generation.native.library import Step
from generation.native.model import pack_decoder, pack_encoder

FloatArray = NDArray[np.float32]


class NativeEncoderSession:
    """One source in, its cross-attention keys and values out."""

    def __init__(self, library: ctypes.CDLL, bundle: Bundle) -> None:
        self._library = library
        self._sizes = bundle.architecture
        self._model, self._memory = pack_encoder(library, bundle)
        self._scratch = np.empty(0, np.uint8)
        longest = bundle.architecture.max_positions * bundle.architecture.d_model
        self._values = np.empty((2 * bundle.architecture.decoder_layers, longest), np.float32)

    def run(self, source_ids: Sequence[int]) -> list[FloatArray]:
        """Encode one source of S tokens; return the cross keys and values [1, heads, S, head_dim] of each layer.

        They are overwritten by the next call.
        """
        sizes, length = self._sizes, len(source_ids)
        needed = self._library.onebar_encode_scratch(self._model, length)
        self._scratch = large_enough(self._scratch, needed)
        shape = (1, sizes.attention_heads, length, sizes.head_dim)
        values = [memory[: length * sizes.d_model].reshape(shape) for memory in self._values]
        ids = np.array(source_ids, np.int64)
        self._library.onebar_encode(self._model, ids.ctypes.data, length, pointers(values), self._scratch.ctypes.data)
        return values


class NativeDecoderSession:
    """A step of the decoder. It holds no state: what it reads and writes is memory that the caller owns."""

    def __init__(self, library: ctypes.CDLL, bundle: Bundle) -> None:
        self._library = library
        self._model, self._memory = pack_decoder(library, bundle)
        self._scratch = np.empty(0, np.uint8)
        self.vocab_rows: int = self._model.head.outputs

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """Return a call that runs a step on these arrays, again and again, without passing anything.

        Names are those of the decoder graph. The arrays must be contiguous, and `present` must be the memory of `past`.
        """
        arrays = (*inputs.values(), *outputs.values())
        assert all(array.flags.c_contiguous for array in arrays), "the kernels read memory as it lies"
        past = [array for name, array in inputs.items() if name.startswith("past_")]
        present = [array for name, array in outputs.items() if name.startswith("present_")]
        assert [a.ctypes.data for a in past] == [a.ctypes.data for a in present], "the cache is updated in place"
        cross = [array for name, array in inputs.items() if name.startswith("cross_")]
        requests, beams = inputs["input_ids"].shape
        step = Step(
            requests, beams, inputs["self_bias"].shape[-1], inputs["attention_mask"].shape[1], outputs["sums"].shape[1]
        )
        named = {
            "ids": inputs["input_ids"], "positions": inputs["positions"], "scores": inputs["beam_scores"],
            "mask": inputs["attention_mask"], "self_bias": inputs["self_bias"], "sums": outputs["sums"],
            "tokens": outputs["tokens"], "chosen_beams": outputs["beams"],
            "watched_logprobs": outputs["special_logprobs"],
        }  # fmt: skip
        for name, array in named.items():
            setattr(step, name, array.ctypes.data)
        step.cross, step.cache = pointers(cross), pointers(past)
        if "logprobs" in outputs:
            step.logprobs = outputs["logprobs"].ctypes.data
        self._scratch = large_enough(self._scratch, self._library.onebar_step_scratch(self._model, step))
        take_step, model = self._library.onebar_step, self._model

        def run(_: object = arrays) -> None:  # what is bound lives as long as the call
            take_step(model, step, self._scratch.ctypes.data)

        return run


def pointers(arrays: Sequence[NDArray[Any]]) -> Any:
    """Return the addresses of arrays as the kernels take them."""
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def large_enough(scratch: NDArray[np.uint8], needed: int) -> NDArray[np.uint8]:
    """Return memory of `needed` bytes at least: what there is, or more."""
    return scratch if scratch.size >= needed else np.empty(needed, np.uint8)
