"""Thresholds under a CTR floor, splits, and intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.errors import InputError
from evaluation.simulation.arms import Bar, bar_of
from evaluation.simulation.experiment import compare, coverage, in_treatment, split_comparison
from evaluation.simulation.exposure import FEWEST_BARS, ctr_at_share, is_shown, lowest_threshold, resampled_exposures
from evaluation.simulation.intervals import ClusterBootstrap
from evaluation.simulation.outcomes import MEASURES, Outcomes

COUNT = 4 * FEWEST_BARS
# The first half of the bars, with the higher confidence, is clicked; 50 of them are empty.
BARS = [Bar(("q",), 1 - place / COUNT) for place in range(COUNT)] + [Bar()] * 50
CLICKED = np.array([place < COUNT // 2 for place in range(COUNT)] + [False] * 50)


def test_the_confidence_of_a_bar_weighs_its_first_three_queries_by_position() -> None:
    bar = bar_of([("a", 0.5), ("b", 0.2), ("c", 0.1), ("d", 0.1)])
    assert bar.queries == ("a", "b", "c")
    assert bar.confidence == pytest.approx(0.92 * 0.5 + 0.62 * 0.2 + 0.40 * 0.1)


def test_as_many_bars_are_shown_as_the_floor_allows() -> None:
    shown = is_shown(BARS, lowest_threshold(BARS, CLICKED, floor=0.8))
    assert shown.sum() == round(COUNT / 2 / 0.8)
    assert CLICKED[shown].mean() == pytest.approx(0.8)
    assert is_shown(BARS, lowest_threshold(BARS, CLICKED, floor=0.0)).sum() == COUNT  # empty bars are never shown


def test_no_bar_is_shown_if_the_floor_is_out_of_reach() -> None:
    assert lowest_threshold(BARS, ~CLICKED, floor=0.9) == math.inf
    assert not is_shown(BARS, math.inf).any()


def test_the_ctr_of_the_control_at_a_share_of_the_impressions() -> None:
    assert ctr_at_share(BARS, CLICKED, COUNT * 0.5 / len(BARS)) == 1.0
    assert ctr_at_share(BARS, CLICKED, COUNT / len(BARS)) == 0.5
    with pytest.raises(InputError, match="lower --control-exposure"):
        ctr_at_share(BARS, CLICKED, 1.0)


def test_the_threshold_is_chosen_again_on_resamples_of_the_viewers() -> None:
    everyone = ClusterBootstrap(np.arange(len(BARS)))
    half = COUNT * 0.5 / len(BARS)
    fixed = resampled_exposures([BARS, BARS], [CLICKED, CLICKED], half, 0.8, everyone)
    shown = COUNT / 2 / 0.8 / len(BARS)
    assert np.allclose(fixed[:, 0], fixed[:, 1])
    assert fixed[:, 0].mean() == pytest.approx(shown, abs=0.01)
    assert 0.01 < fixed[:, 0].std() < 0.05
    # A control without order by confidence: its CTR at any share is a half, and so is that of all its bars.
    flat = [place % 2 == 0 for place in range(COUNT)] + [False] * 50
    drawn = resampled_exposures([BARS, BARS], [np.array(flat), CLICKED], half, None, everyone)
    assert drawn[:, 0].std() > 3 * fixed[:, 0].std()


def test_viewers_are_split_in_halves_that_depend_on_the_salt() -> None:
    viewers = np.repeat(np.arange(2_000), 2)
    treated = in_treatment(viewers, "a")
    assert 900 < treated[::2].sum() < 1100
    assert np.array_equal(treated[::2], treated[1::2])  # both impressions of a viewer
    assert np.array_equal(treated, in_treatment(viewers, "a"))
    assert 900 < (treated[::2] != in_treatment(viewers, "b")[::2]).sum() < 1100


def outcomes(clicks: np.ndarray) -> Outcomes:
    values = np.zeros((len(clicks), len(MEASURES)))
    values[:, [MEASURES.index("impressions"), MEASURES.index("exposures")]] = 1
    values[:, MEASURES.index("clicks")] = clicks
    return Outcomes(values)


@pytest.fixture(scope="module")
def viewers() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 500, 4_000)


@pytest.fixture(scope="module")
def bootstrap(viewers: np.ndarray) -> ClusterBootstrap:
    return ClusterBootstrap(viewers)


def test_a_paired_comparison_of_equal_systems_has_no_difference_and_no_width(
    viewers: np.ndarray, bootstrap: ClusterBootstrap
) -> None:
    same = outcomes(np.random.default_rng(1).random(len(viewers)) < 0.3)
    for figure in compare(same, same, bootstrap).values():
        assert figure["change"] == 0
        assert figure["interval"] == [0, 0]


def test_pairing_narrows_the_interval_of_a_small_lift(viewers: np.ndarray, bootstrap: ClusterBootstrap) -> None:
    chance = np.random.default_rng(2).random(len(viewers))
    old, new = outcomes(chance < 0.30), outcomes(chance < 0.33)
    paired = compare(old, new, bootstrap)["ctr"]
    split = split_comparison(old, new, viewers, bootstrap, "s")["figures"]["ctr"]
    assert paired["change"] == pytest.approx(0.1, abs=0.03)
    assert paired["interval"][0] > 0
    widths = [high - low for low, high in (paired["interval"], split["interval"])]
    assert 3 * widths[0] < widths[1]


def test_most_splits_of_one_system_have_zero_in_their_interval(
    viewers: np.ndarray, bootstrap: ClusterBootstrap
) -> None:
    taste = np.random.default_rng(3).random(500)[viewers]  # viewers differ, so that impressions alone would not do
    same = outcomes(np.random.default_rng(4).random(len(viewers)) < 0.6 * taste)
    found = coverage(same, viewers, bootstrap, splits=40)["inside"]
    assert 0.85 <= found["clicks"] <= 1.0
    assert found["exposure"] == 1.0


def test_a_figure_without_a_base_is_zero(viewers: np.ndarray, bootstrap: ClusterBootstrap) -> None:
    nothing = outcomes(np.zeros(len(viewers)))
    figure = compare(nothing, nothing, bootstrap)["orders"]
    assert figure == {"control": 0, "treatment": 0, "change": 0, "interval": [0, 0]}
