from __future__ import annotations

import numpy as np

from model_export.quantize import LIMIT, quantize_rows


def test_each_row_uses_the_whole_range_and_errs_by_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(scale=[[1e-4], [1.0], [300.0]], size=(3, 64)).astype(np.float32)
    values, scales = quantize_rows(weight)
    assert values.dtype == np.int8
    np.testing.assert_array_equal(np.abs(values).max(axis=1), LIMIT)
    assert (np.abs(values * scales[:, None] - weight) <= scales[:, None] * 0.5001).all()


def test_a_row_of_zeros_stays_zero() -> None:
    values, scales = quantize_rows(np.zeros((2, 8), np.float32))
    assert not values.any()
    assert np.isfinite(scales).all()
    assert (scales > 0).all()


def test_known_values() -> None:
    values, scales = quantize_rows(np.array([[-2.0, 1.0, 0.5]], np.float32))
    np.testing.assert_array_equal(values, [[-127, 64, 32]])  # 63.5 and 31.75, to even and to nearest
    np.testing.assert_allclose(scales, [2 / 127])
