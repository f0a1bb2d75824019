"""The format calls the threshold the probability from which to abstain, so the boundary itself abstains."""

from __future__ import annotations

import pytest

from evidence.abstain import model_abstains


@pytest.mark.parametrize(("probability", "abstains"), [(0.4999, False), (0.5, True), (0.5001, True)])
def test_the_threshold_itself_abstains(probability: float, abstains: bool) -> None:
    assert model_abstains(probability, 0.5) is abstains


def test_a_reject_hypothesis_in_first_place_abstains_at_any_probability() -> None:
    assert model_abstains(0.0, 1.0, reject_is_best=True)
    assert not model_abstains(0.0, 1.0)
