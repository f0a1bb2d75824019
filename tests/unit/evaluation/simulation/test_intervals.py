"""The bootstrap over viewers or videos."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from evaluation.bootstrap import RESAMPLES
from evaluation.simulation.intervals import ClusterBootstrap, bounds, ratio

UNITS = 120


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    return np.random.default_rng(0).integers(0, UNITS, 900) * 7  # numbers with gaps


def test_a_resample_draws_all_rows_of_a_unit_as_often_as_the_unit(clusters: np.ndarray) -> None:
    _, place = np.unique(clusters, return_inverse=True)
    drawn = np.random.default_rng(5).multinomial(UNITS, np.full(UNITS, 1 / UNITS), size=RESAMPLES)  # at once
    bootstrap = ClusterBootstrap(clusters, seed=5)
    weights = np.stack(list(bootstrap.weights()))
    assert np.array_equal(weights, drawn[:, place])
    values = np.random.default_rng(1).random((len(clusters), 3))
    observed, sums = bootstrap.sums(values)
    assert observed == pytest.approx(values.sum(axis=0))
    assert np.allclose(sums, weights @ values)


def test_rows_that_are_alike_within_a_unit_have_a_wider_interval_by_unit(clusters: np.ndarray) -> None:
    is_bad = (np.random.default_rng(2).random(UNITS * 7) < 0.2)[clusters]
    values = np.column_stack([is_bad, np.ones(len(is_bad))]).astype(np.float64)
    widths = []
    for units in (np.arange(len(clusters)), clusters):
        _, drawn = ClusterBootstrap(units).sums(values)
        low, high = bounds(ratio(drawn[:, 0], drawn[:, 1]))
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_a_resample_takes_a_byte_for_each_unit() -> None:
    count = 20_000
    tracemalloc.start()
    try:
        bootstrap = ClusterBootstrap(np.arange(count))
        bootstrap.sums(np.ones((count, 2)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * RESAMPLES * count
