"""Intervals by resampling whole videos."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from evaluation.bootstrap import RESAMPLES, estimate, intervals, resamples


def test_the_mean_lies_within_and_constants_have_no_width() -> None:
    generator = np.random.default_rng(0)
    values = np.stack([generator.random(400), np.full(400, 0.25)], axis=1)
    bounds = intervals(values, [f"p{n % 100}" for n in range(400)])
    assert bounds[0, 0] < values[:, 0].mean() < bounds[0, 1]
    assert bounds[1] == pytest.approx([0.25, 0.25])


def test_the_width_is_that_of_the_normal_theory_for_independent_rows() -> None:
    values = np.random.default_rng(1).random((900, 1))
    low, high = intervals(values, [f"p{n}" for n in range(900)])[0]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 30, rel=0.1)


def test_rows_of_one_video_count_as_one_draw() -> None:
    """Ten copies of each row add no information: the interval is as wide as without them."""
    values = np.random.default_rng(2).random((60, 1))
    names = [f"p{n}" for n in range(60)]
    once = intervals(values, names)[0]
    tenfold = intervals(np.repeat(values, 10, axis=0), [name for name in names for _ in range(10)])[0]
    assert tenfold == pytest.approx(once)


def test_no_rows() -> None:
    assert intervals(np.zeros((0, 2)), []).tolist() == [[0, 0], [0, 0]]


def test_an_estimate_is_a_mean_within_its_interval() -> None:
    found = estimate(np.array([0.0, 1, 1, 1]), ["p0", "p1", "p2", "p3"])
    assert found["mean"] == 0.75
    low, high = found["interval"]
    assert low < 0.75 <= high
    assert estimate(np.zeros(0), []) == {"mean": 0.0, "interval": [0.0, 0.0]}


def test_blocks_of_resamples_are_one_draw_in_parts() -> None:
    whole = np.random.default_rng(5).multinomial(30, np.full(30, 1 / 30), size=RESAMPLES)
    blocks = list(resamples(30, seed=5))
    assert len(blocks) > 1
    assert np.concatenate(blocks).tolist() == whole.tolist()
    values = np.random.default_rng(6).random((30, 3))
    bounds = np.quantile(whole @ values / 30, [0.025, 0.975], axis=0).T
    assert intervals(values, [f"p{n:02}" for n in range(30)], seed=5) == pytest.approx(bounds, abs=1e-12)


def test_memory_grows_by_less_than_two_kilobytes_a_video() -> None:
    videos = 2000
    values, names = np.random.default_rng(3).random((videos, 1)), [f"p{n}" for n in range(videos)]
    tracemalloc.start()
    try:
        intervals(values, names)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2000 * videos
