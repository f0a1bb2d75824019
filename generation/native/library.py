"""The compiled kernels: whether this machine can run them, and the structures that they take.

The structures mirror model.h. Before the kernels are first used, the place of every field is compared with the one that
the compiler chose.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_ssize_t, c_void_p
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import zip_longest
from types import ModuleType

from generation.cpu import cpu_flags
from generation.errors import BackendError

_INSTALL_AGAIN = "install the project again with `pip install`"

NEEDED_FLAGS = {
    "avx512": frozenset(("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")),
    "avx2": frozenset(("avx2", "fma")),
}
"""The instruction sets that kernels.c is compiled for, the fastest first, and the CPU flags that each needs.

Names are those of /proc/cpuinfo."""


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

    _fields_ = (
        ("tokens", c_ssize_t), ("places", c_ssize_t), ("table", c_void_p), ("scale", c_void_p),
        ("positions", c_void_p), ("norm", Norm),
    )  # fmt: skip


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


STRUCTURES: tuple[type[Structure], ...] = (
    Linear, Norm, EncoderLayer, DecoderLayer, Embedding, Encoder, Decoder, Step,
)  # fmt: skip

Place = tuple[str, str, int, int]  # structure, field, offset, size; the field "" is the whole structure


def missing() -> str:
    """Return what prevents the kernels from running here; empty where nothing does."""
    compiled = _compiled()
    if not compiled:
        return "they were not compiled when this project was installed (that needs gcc or clang on x86-64)"
    if instructions():
        return ""
    return f"this CPU lacks {', '.join(sorted(NEEDED_FLAGS[compiled[-1]] - cpu_flags()))}"


def instructions() -> str | None:
    """Return the name of the fastest compiled instruction set that this CPU has; None if there is none."""
    flags = cpu_flags()
    return next((name for name in _compiled() if NEEDED_FLAGS[name] <= flags), None)


@cache
def load() -> ModuleType:
    """Return the compiled module. It must not be loaded where something is `missing`.

    Raises:
        BackendError: it was compiled from other sources than these.
    """
    name = instructions()
    assert name is not None
    return load_for(name)


def load_for(name: str) -> ModuleType:
    """Return the compiled module of one instruction set, which this CPU must have.

    Raises:
        BackendError: it was compiled from other sources than these.
    """
    try:
        module = import_module(_module(name))
        check_layout(module.layout())
    except (ImportError, AttributeError) as error:
        raise BackendError(f"the compiled kernels are not those of this release ({error}); {_INSTALL_AGAIN}") from error
    return module


def _compiled() -> list[str]:
    return [name for name in NEEDED_FLAGS if find_spec(_module(name)) is not None]


def _module(name: str) -> str:
    return f"generation.native._kernels_{name}"


def check_layout(compiled: Sequence[Place]) -> None:
    """Compare the places of all fields in the compiled structures with those in the structures of this module.

    Raises:
        BackendError: one differs; the message names it.
    """
    expected = [place for structure in STRUCTURES for place in _places(structure)]
    for mine, theirs in zip_longest(expected, compiled):
        if mine != theirs:
            structure, field, *_ = mine or theirs
            name = f"{structure}.{field}" if field else structure
            raise BackendError(f"the compiled kernels place {name} elsewhere than this release; {_INSTALL_AGAIN}")


def _places(structure: type[Structure]) -> list[Place]:
    name = structure.__name__
    places = [(name, "", 0, ctypes.sizeof(structure))]
    for field, *_ in structure._fields_:
        described = getattr(structure, field)
        places.append((name, field, described.offset, described.size))
    return places
