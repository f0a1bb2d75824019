"""The metrics, against values computed by hand."""

from __future__ import annotations

import math

import pytest

from evaluation.metrics import METRICS, distinct, normal_form, score, score_all, sentence_bleu


def named(predictions: list[str], target: str) -> dict[str, float]:
    return dict(zip(METRICS, score(predictions, target), strict=True))


def test_a_hit_counts_by_its_rank() -> None:
    figures = named(["road bike", "gravel bike", "bike price"], "gravel bike")
    assert figures == {"hr": 1.0, "mrr": 0.5, "ed_hr": 1.0, "ed": 0.0, "bleu": 1.0}


def test_case_width_and_spaces_are_ignored() -> None:
    assert named(["Road  BIKE"], "ｒｏａｄ bike")["hr"] == 1.0


def test_only_the_first_eight_count() -> None:
    assert named([f"query {n}" for n in range(8)] + ["gravel bike"], "gravel bike")["hr"] == 0.0


@pytest.mark.parametrize(
    ("prediction", "near"),
    [("gravel bikes", 1.0), ("gravel bykes", 1.0), ("gravl bykes", 0.0), ("防gravel bike霜", 1.0)],
)
def test_a_near_hit_has_at_most_two_edits(prediction: str, near: float) -> None:
    assert named([prediction], "gravel bike")["ed_hr"] == near


def test_distance_and_bleu_are_of_the_best_prediction() -> None:
    figures = named(["zebra", "gravel bikes"], "gravel bike")
    assert figures["ed"] == 1.0
    assert figures["bleu"] == pytest.approx(sentence_bleu("gravel bikes", "gravel bike"))


def test_the_distance_of_an_empty_bar_is_the_length_of_the_target() -> None:
    assert named([], "bike") == {"hr": 0.0, "mrr": 0.0, "ed_hr": 0.0, "ed": 4.0, "bleu": 0.0}


def test_an_empty_bar_is_no_near_hit_of_a_short_target() -> None:
    assert named([], "tv")["ed_hr"] == 0.0


def test_scores_of_many_have_a_row_each() -> None:
    assert score_all([["a"], ["b"]], ["a", "a"]).shape == (2, len(METRICS))
    assert score_all([], []).shape == (0, len(METRICS))


def test_distinct_keeps_the_first_wording() -> None:
    assert distinct(["Road Bike", "road bike", "", "\u200b", "tent"]) == ["Road Bike", "tent"]
    assert normal_form("Road\u200b  Bike") == "road bike"


def test_bleu_by_hand() -> None:
    """Two of three words, one of two pairs, no triple of one (smoothed to 1/2), no 4-gram (not counted)."""
    expected = (2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3)
    assert sentence_bleu("red road bike", "blue road bike") == pytest.approx(expected)


def test_bleu_penalises_a_short_query() -> None:
    assert sentence_bleu("bike", "red road bike") == pytest.approx(math.exp(1 - 3))


def test_bleu_counts_characters_in_chinese() -> None:
    assert 0.0 < sentence_bleu("防晒霜油皮", "防晒霜干皮") < 1.0
    assert sentence_bleu("防晒霜", "防晒霜") == pytest.approx(1.0)


def test_bleu_without_a_shared_word_is_zero() -> None:
    assert sentence_bleu("tent", "bike") == 0.0
    assert sentence_bleu("", "bike") == 0.0
