"""The two ONNX Runtime sessions of a bundle, and the calls into them.

Arrays go in and out as numpy. Keeping the cache inside ORT as OrtValues, or binding inputs and outputs, measured no
faster at these sizes (docs/adr/0012): a step moves some hundred kilobytes, and each binding costs a call.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from generation.bundle import Bundle
from generation.errors import BundleError

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

_CANDIDATE_OUTPUTS = ["sums", "beams", "tokens", "reject_logprobs"]
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
    try:
        lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not _INT8_DOT_PRODUCT_FLAGS.isdisjoint(flags)


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
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
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


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a decoder step offers: the best continuations over all beams of each request.

    sums, beams, tokens: [R, K], by falling sum.
    reject_logprobs: [R, B], log P([REJECT]) after each beam.
    """

    sums: FloatArray
    beams: IntArray
    tokens: IntArray
    reject_logprobs: FloatArray


class EncoderSession:
    """The encoder graph: source ids in, cross-attention keys and values out."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._session = open_session(bundle.encoder_path, session_options(threads))
        self._outputs = cross_names(bundle.architecture.decoder_layers)

    def run(self, input_ids: IntArray, attention_mask: NDArray[np.int32]) -> list[FloatArray]:
        """Encode input_ids [R, S], attention_mask [R, S]; return the cross keys and values [R, heads, S, head_dim]."""
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        values: list[FloatArray] = self._session.run(self._outputs, feed)
        return values


class DecoderSession:
    """The decoder-step graph. It holds no state: a `DecoderState` is one batch of requests in progress."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        sizes = bundle.architecture
        self._session = open_session(bundle.decoder_path, session_options(threads))
        self._cross = cross_names(sizes.decoder_layers)
        self._past = past_names(sizes.decoder_layers)
        self._outputs = _CANDIDATE_OUTPUTS + present_names(sizes.decoder_layers)
        self._cache_shape = (sizes.attention_heads, 0, sizes.head_dim)

    def start(self, cross: Sequence[FloatArray], attention_mask: NDArray[np.int32]) -> DecoderState:
        """Return the state before the first step, for sources that were encoded to `cross`."""
        empty = np.zeros((attention_mask.shape[0], 1, *self._cache_shape), np.float32)  # [R, 1, heads, 0, head_dim]
        fixed: dict[str, NDArray[Any]] = dict(zip(self._cross, cross, strict=True))
        fixed["attention_mask"] = attention_mask
        return DecoderState(fixed, dict.fromkeys(self._past, empty), 0)

    def step(
        self,
        state: DecoderState,
        input_ids: IntArray,
        beam_indices: IntArray,
        beam_scores: FloatArray,
        num_candidates: int,
    ) -> Candidates:
        """Decode one token for every beam and move `state` on by it.

        Args:
            state: of the requests, as the step before left it.
            input_ids: [R, B], the last token of each beam.
            beam_indices: [R, B], which beam of the step before each one continues.
            beam_scores: [R, B], the sum of log-probabilities of each beam.
            num_candidates: continuations to hand back for each request.
        """
        feed = {
            **state.fixed,
            **state.past,
            "input_ids": input_ids,
            "beam_indices": beam_indices,
            "beam_scores": beam_scores,
            "position": np.array([state.position], np.int64),
            "num_candidates": np.array([num_candidates], np.int64),
        }
        sums, beams, tokens, reject, *present = self._session.run(self._outputs, feed)
        state.past = dict(zip(self._past, present, strict=True))
        state.position += 1
        return Candidates(sums, beams, tokens, reject)


@dataclass(slots=True)
class DecoderState:
    """What a batch of requests carries from step to step.

    fixed: the inputs that stay: cross keys and values, the mask of the sources.
    past: the self-attention cache, [R, B, heads, position, head_dim] under each name of `past_names`.
    position: tokens in the cache.
    """

    fixed: dict[str, NDArray[Any]]
    past: dict[str, FloatArray]
    position: int
