"""The backends that run the two graphs of a bundle: the kernels of `generation.native`, or ONNX Runtime.

    native       int8 bundles, CPUs with AVX-512 VNNI or AVX2, one thread; compiled when the project is installed
    onnxruntime  everything else

Both do the same arithmetic on the same weights; floats may differ in their last bits (docs/adr/0024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from generation.bundle import Bundle
from generation.dry_run import dry_run
from generation.errors import BackendError
from generation.native.library import load, missing
from generation.native.sessions import NativeDecoderSession, NativeEncoderSession
from generation.session import OnnxDecoderSession, OnnxEncoderSession

Backend = Literal["auto", "native", "onnxruntime"]


class EncoderSession(Protocol):
    """The encoder: one source in, its cross-attention keys and values out."""

    def run(self, source_ids: Sequence[int]) -> list[NDArray[np.float32]]:
        """Encode one source of S tokens; return the cross keys and values [1, heads, S, head_dim] of each layer.

        They may be overwritten by the next call.
        """


class DecoderSession(Protocol):
    """The decoder's step. It has no state: it reads and writes memory that the caller owns."""

    vocab_rows: int

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """Return a call that runs a step on these arrays each time, with nothing to pass.

        Names are those of the decoder graph (model_export/decoder_graph.py). `present` must be the memory of `past`:
        the cache is updated in place.

        Raises:
            ValueError: an array is not contiguous, or has another shape or type than in the graph.
        """


def choose_backend(bundle: Bundle, threads: int, wanted: Backend = "auto") -> Backend:
    """Return "native" or "onnxruntime"; "auto" takes the kernels wherever they can run.

    Args:
        bundle: what to run.
        threads: threads that may compute one step. Only ONNX Runtime uses more than one.
        wanted: "auto", or the one to take.

    Raises:
        BackendError: "native" is wanted and cannot run here.
    """
    if wanted == "onnxruntime":
        return wanted
    lacking = missing()
    if bundle.precision != "int8":
        lacking = f"they run int8 bundles, and this one is {bundle.precision}"
    elif threads != 1:
        lacking = f"they run on one thread, and {threads} were asked for"
    if not lacking:
        return "native"
    if wanted == "native":
        raise BackendError(f"the native kernels cannot be used: {lacking}; choose the backend auto or onnxruntime")
    return "onnxruntime"


def open_sessions(bundle: Bundle, threads: int, backend: Backend) -> tuple[EncoderSession, DecoderSession]:
    """Load both graphs and run each once.

    Args:
        bundle: what to run.
        threads: ONNX Runtime's intra-op threads.
        backend: as `choose_backend` takes it.

    Raises:
        BackendError: "native" is wanted and cannot run here.
        BundleError: a file was changed since it was checked, or a graph cannot be run.
    """
    encoder: EncoderSession
    decoder: DecoderSession
    if choose_backend(bundle, threads, backend) == "native":
        library = load()
        encoder, decoder = NativeEncoderSession(library, bundle), NativeDecoderSession(library, bundle)
    else:
        encoder, decoder = OnnxEncoderSession(bundle, threads), OnnxDecoderSession(bundle, threads)
    dry_run(bundle, encoder, decoder)
    return encoder, decoder
