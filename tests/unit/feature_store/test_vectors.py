"""Embeddings as bytes: the layout of FORMAT.md, its precision, and its refusals."""

from __future__ import annotations

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from feature_store.errors import CodecError
from feature_store.vectors import Matrix, VectorType, decode_vectors, encode_vectors

matrices = npst.arrays(
    np.float32,
    npst.array_shapes(min_dims=2, max_dims=2, max_side=20),
    elements=st.floats(-1000, 1000, width=16),
)
versions = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=16)


@given(matrices, versions)
def test_fp16_values_are_read_back_exactly(matrix: Matrix, version: str) -> None:
    vectors = decode_vectors(encode_vectors(matrix, version, "fp16"))
    assert vectors.version == version
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_array_equal(vectors.matrix, matrix)


@given(matrices, versions)
@example(np.zeros((2, 3), np.float32), "v")
def test_int8_values_are_read_back_within_half_a_step(matrix: Matrix, version: str) -> None:
    vectors = decode_vectors(encode_vectors(matrix, version, "int8"))
    step = np.abs(matrix).max(axis=1, keepdims=True) / 127
    assert vectors.matrix.shape == matrix.shape
    assert (np.abs(vectors.matrix - matrix) <= 0.5 * step * (1 + 1e-5)).all()


def test_the_bytes_of_fp16_are_those_of_the_format() -> None:
    data = encode_vectors(np.array([[1.0, -2.0], [0.5, 0.0]], np.float32), "m1", "fp16")
    assert data.hex(" ") == "01 01 02 00 02 00 00 00 02 6d 31 00 3c 00 c0 00 38 00 00"


def test_the_bytes_of_int8_are_those_of_the_format() -> None:
    data = encode_vectors(np.array([[127.0, -63.5]], np.float32), "m1", "int8")
    assert data.hex(" ") == "01 02 02 00 01 00 00 00 02 6d 31 00 00 80 3f 7f c0"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_codec_error(data: bytes) -> None:
    with suppress(CodecError):
        decode_vectors(data)


@given(st.data(), st.sampled_from(["fp16", "int8"]))
def test_flipped_and_cut_bytes_raise_nothing_but_codec_error(data: st.DataObject, dtype: VectorType) -> None:
    stored = bytearray(encode_vectors(np.ones((3, 4), np.float32), "model", dtype))
    for _ in range(data.draw(st.integers(1, 3))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(stored)))
    with suppress(CodecError):
        assert np.isfinite(decode_vectors(bytes(stored[:cut])).matrix).all()


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_every_cut_is_noticed(dtype: VectorType) -> None:
    stored = encode_vectors(np.ones((2, 4), np.float32), "model", dtype)
    for length in range(len(stored)):
        with pytest.raises(CodecError):
            decode_vectors(stored[:length])
    with pytest.raises(CodecError):
        decode_vectors(stored + b"\0")


def test_a_header_that_promises_too_much_allocates_nothing() -> None:
    with pytest.raises(CodecError, match="header"):
        decode_vectors(struct.pack("<BBHIB", 1, 1, 65535, 2**32 - 1, 1) + b"v")


@pytest.mark.parametrize(
    ("matrix", "version", "reason"),
    [
        (np.zeros((0, 4), np.float32), "v", "must be"),
        (np.zeros((4, 0), np.float32), "v", "must be"),
        (np.zeros(4, np.float32), "v", "must be"),
        (np.full((1, 2), np.nan, np.float32), "v", "finite"),
        (np.full((1, 2), 1e6, np.float32), "v", "too large for fp16"),
        (np.ones((1, 2), np.float32), "", "1 to 64 bytes"),
        (np.ones((1, 2), np.float32), "v" * 65, "1 to 64 bytes"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(matrix: Matrix, version: str, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        encode_vectors(matrix, version)
