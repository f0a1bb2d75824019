"""The compiled kernels: where they are, whether this machine can run them, and their types.

The structures mirror model.h field by field.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_size_t, c_ssize_t, c_void_p
from functools import cache
from importlib.util import find_spec

from generation.cpu import cpu_flags

# What kernels.c is compiled for; names are those of /proc/cpuinfo.
NEEDED_FLAGS = frozenset(("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"))


class Linear(Structure):
    """A linear layer: int8 weights in packed order."""

    _fields_ = (
        ("inputs", c_ssize_t), ("outputs", c_ssize_t), ("packed", c_void_p), ("column_sums", c_void_p),
        ("scale", c_void_p), ("bias", c_void_p), ("input_step", c_float), ("input_zero", c_int32),
    )  # fmt: skip


class Norm(Structure):
    """A layer norm."""

    _fields_ = (("scale", c_void_p), ("bias", c_void_p))


class EncoderLayer(Structure):
    """One layer of the encoder."""

    _fields_ = (
        *((name, Linear) for name in ("qkv", "attention_out", "fc1", "fc2")),
        *((name, Norm) for name in ("attention_norm", "final_norm")),
    )


class DecoderLayer(Structure):
    """One layer of the decoder."""

    _fields_ = (
        *((name, Linear) for name in ("qkv", "attention_out", "cross_query", "cross_out", "fc1", "fc2")),
        *((name, Norm) for name in ("attention_norm", "cross_norm", "final_norm")),
    )


class Embedding(Structure):
    """Token and position embeddings of a stack."""

    _fields_ = (("table", c_void_p), ("scale", c_void_p), ("positions", c_void_p), ("norm", Norm))


class Encoder(Structure):
    """The encoder."""

    _fields_ = (
        ("width", c_ssize_t), ("heads", c_ssize_t), ("feed_forward", c_ssize_t), ("layers", c_ssize_t),
        ("embedding", Embedding), ("layer", POINTER(EncoderLayer)), ("cross", Linear), ("decoder_layers", c_ssize_t),
    )  # fmt: skip


class Decoder(Structure):
    """The decoder."""

    _fields_ = (
        ("width", c_ssize_t), ("heads", c_ssize_t), ("feed_forward", c_ssize_t), ("layers", c_ssize_t),
        ("embedding", Embedding), ("layer", POINTER(DecoderLayer)), ("head", Linear), ("watched", c_int64 * 2),
    )  # fmt: skip


class Step(Structure):
    """The arguments of one decoder step."""

    _fields_ = (
        *((name, c_ssize_t) for name in ("requests", "beams", "keys", "source", "candidates")),
        *((name, c_void_p) for name in ("ids", "positions", "scores", "mask", "self_bias")),
        ("cross", POINTER(c_void_p)), ("cache", POINTER(c_void_p)),
        *((name, c_void_p) for name in ("sums", "tokens", "chosen_beams", "watched_logprobs", "logprobs")),
    )  # fmt: skip


def missing() -> str:
    """Say what keeps the kernels from running here; empty where they can."""
    if _origin() is None:
        return "they were not compiled when this project was installed (that needs gcc or clang on x86-64)"
    lacking = sorted(NEEDED_FLAGS - cpu_flags())
    return f"this CPU lacks {', '.join(lacking)}" if lacking else ""


@cache
def load() -> ctypes.CDLL:
    """Return the kernels. Only where nothing is `missing`."""
    library = ctypes.CDLL(_origin())
    library.onebar_pack.argtypes = (c_void_p, c_ssize_t, c_ssize_t, c_void_p, c_void_p)
    library.onebar_encode_scratch.argtypes = (POINTER(Encoder), c_ssize_t)
    library.onebar_encode.argtypes = (POINTER(Encoder), c_void_p, c_ssize_t, POINTER(c_void_p), c_void_p)
    library.onebar_step_scratch.argtypes = (POINTER(Decoder), POINTER(Step))
    library.onebar_step.argtypes = (POINTER(Decoder), POINTER(Step), c_void_p)
    for function in (library.onebar_pack, library.onebar_encode, library.onebar_step):
        function.restype = None
    for function in (library.onebar_encode_scratch, library.onebar_step_scratch):
        function.restype = c_size_t
    structures = (Encoder, Decoder, Step)
    sizes = (c_size_t * len(structures)).in_dll(library, "onebar_sizes")
    assert list(sizes) == [ctypes.sizeof(kind) for kind in structures], "model.h and library.py differ: compile again"
    return library


def _origin() -> str | None:
    spec = find_spec("generation.native._kernels")
    return spec.origin if spec else None
