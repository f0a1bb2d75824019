"""The two ONNX Runtime sessions of a bundle, and the calls into them.

The encoder takes and gives numpy arrays. The decoder works on memory that stays where it is: a step is bound once to
its arrays and then only run (docs/adr/0021).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from generation.bundle import Bundle
from generation.cpu import cpu_flags
from generation.errors import BundleError

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

_INT8_DOT_PRODUCT_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}


def cross_names(decoder_layers: int) -> list[str]:
    """Return the names of the cross-attention keys and values, in the order of the graphs."""
    return [f"cross_{part}_{index}" for index in range(decoder_layers) for part in ("key", "value")]


def past_names(decoder_layers: int) -> list[str]:
    """Return the names of the cache that a decoder step takes."""
    return [f"past_{part}_{index}" for index in range(decoder_layers) for part in ("key", "value")]


def present_names(decoder_layers: int) -> list[str]:
    """Return the names of the cache that a decoder step hands on; each is the next step's past of the same place."""
    return [f"present_{part}_{index}" for index in range(decoder_layers) for part in ("key", "value")]


def multiplies_int8_exactly(cpuinfo: Path = Path("/proc/cpuinfo"), architecture: str | None = None) -> bool:
    """Whether this CPU sums u8 x s8 products without saturating at 16 bits; False where it cannot be told.

    Only x86 has the instruction that saturates, and only before VNNI.
    """
    if (architecture or platform.machine()).lower() not in ("x86_64", "amd64"):
        return True
    return not _INT8_DOT_PRODUCT_FLAGS.isdisjoint(cpu_flags(cpuinfo))


def session_options(threads: int, *, widen_int8: bool | None = None) -> ort.SessionOptions:
    """Return the options that both sessions run under (docs/adr/0012).

    Args:
        threads: intra-op threads. ORT counts the host's cores and not the cgroup's, so the caller must know.
        widen_int8: turn signed weights into unsigned ones at load, which cannot saturate and is slower; by default
            only where the CPU needs it (docs/adr/0010).
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # A plan of buffers is kept for every shape ever seen, and shapes are many here.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The graphs are written as they run fastest; what the extended level would fuse besides is slower (docs/adr/0011).
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if not multiplies_int8_exactly() if widen_int8 is None else widen_int8:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED  # where widening is done
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """Load one graph.

    Raises:
        BundleError: ORT refuses the graph.
    """
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ORT's errors share no base but Exception
        raise BundleError(
            f"{path} is not a graph that onnxruntime {ort.__version__} can run ({error}); "
            "export the checkpoint again with `onebar export`"
        ) from error


class OnnxEncoderSession:
    """The encoder graph: one source in, its cross-attention keys and values out."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._session = open_session(bundle.encoder_path, session_options(threads))
        self._outputs = cross_names(bundle.architecture.decoder_layers)

    def run(self, source_ids: Sequence[int]) -> list[FloatArray]:
        """Encode one source of S tokens; return the cross keys and values [1, heads, S, head_dim] of each layer."""
        values: list[FloatArray] = self._session.run(self._outputs, {"input_ids": np.array([source_ids], np.int64)})
        return values


class OnnxDecoderSession:
    """The decoder-step graph. It holds no state: what it reads and writes is memory that the caller owns."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._session = open_session(bundle.decoder_path, session_options(threads))
        # The vocabulary, filled up to what the search in the graph takes in one block.
        self.vocab_rows: int = next(o.shape[2] for o in self._session.get_outputs() if o.name == "logprobs")

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """Return a call that runs a step on these arrays, again and again, without passing anything.

        An output may be the memory of an input, which the graph then updates in place. The arrays must be contiguous.
        """
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        arrays = (*inputs.values(), *outputs.values())
        assert all(array.flags.c_contiguous for array in arrays), "ORT reads memory as it lies"

        def run(_: object = arrays) -> None:  # what is bound lives as long as the call
            self._session.run_with_iobinding(binding)

        return run
