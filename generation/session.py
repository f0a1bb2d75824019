"""The two ONNX Runtime sessions of a bundle, and the calls into them.

The encoder takes and returns numpy arrays. The decoder works on memory that stays where it is: a step is bound to its
arrays once and then only run (docs/adr/0021).
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
from generation.bundle.files import one_line
from generation.bundle.graph_plan import EXTERNAL
from generation.bundle.vocabulary_blocks import whole_blocks
from generation.cpu import cpu_flags
from generation.errors import BundleError
from generation.step_arrays import check_encoded, check_step_arrays
from generation.tensor_names import cross_names

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

_INT8_DOT_PRODUCT_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}


def multiplies_int8_exactly(cpuinfo: Path = Path("/proc/cpuinfo"), architecture: str | None = None) -> bool:
    """Return whether this CPU sums u8 x s8 products without saturating at 16 bits; False where that is unknown.

    Only x86 has the instruction that saturates, and only before VNNI.
    """
    if (architecture or platform.machine()).lower() not in ("x86_64", "amd64"):
        return True
    return not _INT8_DOT_PRODUCT_FLAGS.isdisjoint(cpu_flags(cpuinfo))


def session_options(threads: int, *, widen_int8: bool | None = None) -> ort.SessionOptions:
    """Return the options that both sessions run under (docs/adr/0012).

    Args:
        threads: intra-op threads. ORT counts the host's cores and not the cgroup's, so the caller must say.
        widen_int8: turn signed weights into unsigned ones at load, which cannot saturate and is slower; by default
            only where the CPU needs it (docs/adr/0010).
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # ORT keeps a plan of buffers for every shape that it has seen, and there are many shapes here.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The graphs are written in their fastest form; the extended level's further fusions are slower (docs/adr/0011).
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if not multiplies_int8_exactly() if widen_int8 is None else widen_int8:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED  # where widening is done
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(path: Path, options: ort.SessionOptions, content: bytes | None = None) -> ort.InferenceSession:
    """Load one graph.

    Args:
        path: of the graph, to be named in messages; it is read where `content` is left out.
        options: of the session, constants in external files among them.
        content: of the file.

    Raises:
        BundleError: ORT refuses the graph.
    """
    try:
        graph = str(path) if content is None else content
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ORT's errors share no base but Exception
        raise BundleError(
            f"{path} is not a graph that onnxruntime {ort.__version__} can run ({one_line(error)}); "
            "export the checkpoint again with `onebar export`"
        ) from error


def _open(bundle: Bundle, path: Path, threads: int) -> tuple[ort.InferenceSession, object]:
    """Load a graph of a bundle from memory, as it was checked; ORT opens no file.

    Returns:
        The session, and the memory that it reads the token embedding from, which must live as long as the session.
    """
    options = session_options(threads)
    embedding = bundle.embedding()
    value = ort.OrtValue.ortvalue_from_numpy(embedding)
    options.add_external_initializers([EXTERNAL], [value])
    return open_session(path, options, bundle.read(path.name)), (embedding, value)


class OnnxEncoderSession:
    """The encoder graph: one source in, its cross-attention keys and values out."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        """Load the encoder. Raises BundleError where its files were changed since they were checked."""
        self._session, self._memory = _open(bundle, bundle.encoder_path, threads)
        self._sizes = bundle.architecture
        self._outputs = cross_names(bundle.architecture.decoder_layers)

    def run(self, source_ids: Sequence[int]) -> list[FloatArray]:
        """Encode one source of S tokens; return the cross keys and values [1, heads, S, head_dim] of each layer."""
        values: list[FloatArray] = self._session.run(self._outputs, {"input_ids": np.array([source_ids], np.int64)})
        return check_encoded(self._sizes, len(source_ids), values)


class OnnxDecoderSession:
    """The decoder-step graph. It has no state: it reads and writes memory that the caller owns."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        """Load the decoder. Raises BundleError where its files were changed since they were checked."""
        self._session, self._memory = _open(bundle, bundle.decoder_path, threads)
        self._sizes = bundle.architecture
        # The vocabulary, filled up to whole blocks of the search in the graph.
        self.vocab_rows: int = whole_blocks(bundle.architecture.vocab_size)

    def bind(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Callable[[], None]:
        """Return a call that runs a step on these arrays each time, with nothing to pass.

        An output may be the memory of an input, which the graph then updates in place.

        Raises:
            ValueError: an array has a shape, a type or a layout that the graph does not have.
        """
        check_step_arrays(self._sizes, self.vocab_rows, inputs, outputs)
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        arrays = (*inputs.values(), *outputs.values())

        def run(_: object = arrays) -> None:  # the arrays live as long as the call
            self._session.run_with_iobinding(binding)

        return run
