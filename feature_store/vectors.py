"""Embeddings as bytes: fp16, or int8 with a scale for each row. The layout is fixed in FORMAT.md, "Embeddings"."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from feature_store.codec import MAX_ENTRIES
from feature_store.errors import CodecError

Matrix = NDArray[np.float32]
Halves = NDArray[np.float16]
VectorType = Literal["fp16", "int8"]

_HEADER = struct.Struct("<BBHIB")  # layout, dtype, dimension, rows, length of the version
_LAYOUT = 1
_FP16, _INT8 = 1, 2
_INT8_MAX = 127
MAX_DIMENSION = 8192
MAX_ROWS = MAX_ENTRIES
MAX_VERSION_BYTES = 64


@dataclass(frozen=True, slots=True)
class Vectors:
    """Decoded embeddings: float32 [rows, dimension], and the version of the model that made them."""

    matrix: Matrix
    version: str


def _encode_fp16(matrix: Matrix | Halves) -> bytes:
    with np.errstate(over="ignore"):  # too large for fp16 becomes infinite, which is refused in the next line
        halves = matrix.astype("<f2", copy=False)
    if not np.isfinite(halves).all():
        raise CodecError("an embedding has a value that is not finite, or too large for fp16")
    stored: bytes = halves.tobytes()
    return stored


def _encode_int8(given: Matrix | Halves) -> bytes:
    matrix = given.astype(np.float32, copy=False)
    if not np.isfinite(matrix).all():
        raise CodecError("an embedding has a value that is not finite")
    scales = np.abs(matrix).max(axis=1, keepdims=True) / _INT8_MAX  # [rows, 1]
    codes = np.rint(np.divide(matrix, scales, out=np.zeros_like(matrix), where=scales > 0))
    stored: bytes = scales.astype("<f4").tobytes() + codes.astype(np.int8).tobytes()
    return stored


def _decode_fp16(payload: memoryview, rows: int, dimension: int) -> Matrix:
    return np.frombuffer(payload, dtype="<f2").astype(np.float32).reshape(rows, dimension)


def _decode_int8(payload: memoryview, rows: int, dimension: int) -> Matrix:
    scales = np.frombuffer(payload[: 4 * rows], dtype="<f4").reshape(rows, 1)
    codes = np.frombuffer(payload[4 * rows :], dtype=np.int8).reshape(rows, dimension)
    with np.errstate(over="ignore", invalid="ignore"):  # corrupt scales; the caller refuses the result
        matrix: Matrix = np.multiply(codes, scales, dtype=np.float32)
    return matrix


_DECODERS: dict[int, tuple[Callable[[int, int], int], Callable[[memoryview, int, int], Matrix]]] = {
    _FP16: (lambda rows, dimension: 2 * rows * dimension, _decode_fp16),
    _INT8: (lambda rows, dimension: 4 * rows + rows * dimension, _decode_int8),
}


def encode_vectors(matrix: Matrix | Halves, version: str, dtype: VectorType = "fp16") -> bytes:
    """Return the stored form of embeddings.

    Args:
        matrix: [rows, dimension], finite, at least one row.
        version: of the embedding model, 1 to 64 bytes of UTF-8.
        dtype: "fp16" (2 bytes a value), or "int8" (1 byte a value and a scale a row; error at most 1/254 of the
            row's largest value).

    Raises:
        CodecError: a shape, a value or a version that the layout cannot hold.
    """
    if matrix.ndim != 2 or not (0 < matrix.shape[0] <= MAX_ROWS and 0 < matrix.shape[1] <= MAX_DIMENSION):
        raise CodecError(f"embeddings must be [1 to {MAX_ROWS}, 1 to {MAX_DIMENSION}], not {list(matrix.shape)}")
    name = version.encode("utf-8", "surrogatepass")
    if not 0 < len(name) <= MAX_VERSION_BYTES:
        raise CodecError(f"an embedding version has 1 to {MAX_VERSION_BYTES} bytes, this one has {len(name)}")
    rows, dimension = matrix.shape
    code, payload = (_FP16, _encode_fp16(matrix)) if dtype == "fp16" else (_INT8, _encode_int8(matrix))
    return _HEADER.pack(_LAYOUT, code, dimension, rows, len(name)) + name + payload


def version_of(data: bytes) -> str:
    """Return the model's version from the header of encoded embeddings; empty where there are none."""
    end = _HEADER.size + data[_HEADER.size - 1] if data else 0
    return data[_HEADER.size : end].decode("utf-8", "replace")


def decode_vectors(data: bytes) -> Vectors:
    """Return embeddings from their stored form.

    Raises:
        CodecError: the bytes are not of this layout, or hold a value that is not finite.
    """
    if len(data) < _HEADER.size:
        raise CodecError(f"embeddings of {len(data)} bytes have no header")
    layout, code, dimension, rows, name_length = _HEADER.unpack_from(data)
    if layout != _LAYOUT:
        raise CodecError(f"embeddings of layout {layout}; this reader knows layout {_LAYOUT}")
    if code not in _DECODERS:
        raise CodecError(f"embeddings of the unknown type {code}")
    if not (0 < rows <= MAX_ROWS and 0 < dimension <= MAX_DIMENSION and 0 < name_length <= MAX_VERSION_BYTES):
        raise CodecError("embeddings with an impossible header")
    size, decode = _DECODERS[code]
    start = _HEADER.size + name_length
    if len(data) != start + size(rows, dimension):
        raise CodecError(f"embeddings of {len(data)} bytes where the header says {start + size(rows, dimension)}")
    try:
        version = data[_HEADER.size : start].decode("utf-8")
    except UnicodeDecodeError:
        raise CodecError("an embedding version that is not UTF-8") from None
    matrix = decode(memoryview(data)[start:], rows, dimension)
    if not np.isfinite(matrix).all():
        raise CodecError("an embedding has a value that is not finite")
    return Vectors(matrix, version)
