"""The two sessions of a bundle on the kernels, with the methods of those on ONNX Runtime (generation/session.py)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.bundle import Bundle
from generation.native.library import Step
from generation.native.model import pack_decoder, pack_encoder
from generation.step_arrays import check_step_arrays
from generation.tensor_names import cross_names, past_names

FloatArray = NDArray[np.float32]


class NativeEncoderSession:
    """One source in, its cross-attention keys and values out."""

    def __init__(self, library: ModuleType, bundle: Bundle) -> None:
        """Pack the weights of the encoder. Raises BundleError where its files were changed since they were checked."""
        self._library = library
        self._sizes = bundle.architecture
        self._model, self._memory = pack_encoder(library, bundle)
        self._scratch = np.empty(0, np.uint8)
        longest = bundle.architecture.max_positions * bundle.architecture.d_model
        self._values = np.empty((2 * bundle.architecture.decoder_layers, longest), np.float32)

    def run(self, source_ids: Sequence[int]) -> list[FloatArray]:
        """Encode one source of S tokens; return the cross keys and values [1, heads, S, head_dim] of each layer.

        They are overwritten by the next call.

        Raises:
            IndexError: an id is not one of the model's.
            ValueError: the source is empty or longer than the model's positions.
        """
        sizes, length = self._sizes, len(source_ids)
        self._scratch = large_enough(self._scratch, self._library.encode_scratch(self._model, length))
        shape = (1, sizes.attention_heads, length, sizes.head_dim)
        values = [memory[: length * sizes.d_model].reshape(shape) for memory in self._values]
        self._library.encode(self._model, np.array(source_ids, np.int64), values, self._scratch)
        return values


class NativeDecoderSession:
    """A step of the decoder. It has no state: it reads and writes memory that the caller owns."""

    def __init__(self, library: ModuleType, bundle: Bundle) -> None:
        """Pack the weights of the decoder. Raises BundleError where its files were changed since they were checked."""
        self._library = library
        self._sizes = bundle.architecture
        self._model, self._memory = pack_decoder(library, bundle)
        self._scratch = np.empty(0, np.uint8)
        self.vocab_rows: int = self._model.head.outputs

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """Return a call that runs a step on these arrays each time, with nothing to pass.

        Names are those of the decoder graph. The call raises IndexError where an id or a position is not the model's.

        Raises:
            ValueError: an array has a shape, a type or a layout that the decoder does not have.
        """
        layers = self._sizes.decoder_layers
        check_step_arrays(self._sizes, self.vocab_rows, inputs, outputs)
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
        step.cross = pointers([inputs[name] for name in cross_names(layers)])
        step.cache = pointers([inputs[name] for name in past_names(layers)])
        if "logprobs" in outputs:
            step.logprobs = outputs["logprobs"].ctypes.data
        self._scratch = large_enough(self._scratch, self._library.step_scratch(self._model, step))
        take_step, model = self._library.step, self._model
        arrays = (*inputs.values(), *outputs.values())

        def run(_: object = arrays) -> None:  # the arrays live as long as the call
            take_step(model, step, self._scratch)

        return run


def pointers(arrays: Sequence[NDArray[Any]]) -> Any:
    """Return the addresses of arrays as an array of C pointers."""
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def large_enough(scratch: NDArray[np.uint8], needed: int) -> NDArray[np.uint8]:
    """Return memory of at least `needed` bytes: `scratch` where it is large enough, or new memory."""
    return scratch if scratch.size >= needed else np.empty(needed, np.uint8)
