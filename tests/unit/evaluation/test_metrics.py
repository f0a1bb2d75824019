"""The metrics, against values computed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import METRICS, EditDistances, distinct, normal_form, score, score_all, sentence_bleu


def named(predictions: list[str], target: str) -> dict[str, float]:
    return dict(zip(METRICS, score(predictions, target), strict=True))


def test_a_hit_counts_by_its_rank() -> None:
    figures = named(["road bike", "gravel bike", "bike price"], "gravel bike")
    assert figures == {"hr": 1.0, "mrr": 0.5, "ed_hr": 1.0, "ed": 0.0, "bleu": 1.0}


def test_letter_case_width_and_spaces_make_no_difference() -> None:
    assert named(["Road  BIKE"], "ｒｏａｄ bike")["hr"] == 1.0


def test_only_the_first_eight_count() -> None:
    assert named([f"query {n}" for n in range(8)] + ["gravel bike"], "gravel bike")["hr"] == 0.0


@pytest.mark.parametrize(("prediction", "near"), [("gravel bikes", 1.0), ("gravel bykes", 1.0), ("gravl bykes", 0.0)])
def test_two_edits_are_forgiven_and_three_are_not(prediction: str, near: float) -> None:
    assert named([prediction], "gravel bike")["ed_hr"] == near


def test_the_best_of_the_predictions_gives_distance_and_bleu() -> None:
    figures = named(["zebra", "gravel bikes"], "gravel bike")
    assert figures["ed"] == 1.0
    assert figures["bleu"] == pytest.approx(sentence_bleu("gravel bikes", "gravel bike"))


def test_an_empty_bar_leaves_everything_to_be_typed() -> None:
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
    """Two of three words, one of two pairs (smoothed to 2/3), no triple (smoothed to 1/2)."""
    expected = (2 / 3 * 2 / 3 * 1 / 2) ** (1 / 3)
    assert sentence_bleu("red road bike", "blue road bike") == pytest.approx(expected)


def test_bleu_punishes_what_is_too_short() -> None:
    assert sentence_bleu("bike", "red road bike") == pytest.approx(math.exp(1 - 3))


def test_bleu_reads_characters_where_words_have_no_spaces() -> None:
    assert 0.0 < sentence_bleu("防晒霜油皮", "防晒霜干皮") < 1.0
    assert sentence_bleu("防晒霜", "防晒霜") == pytest.approx(1.0)


def test_bleu_without_a_shared_word_is_zero() -> None:
    assert sentence_bleu("tent", "bike") == 0.0
    assert sentence_bleu("", "bike") == 0.0


def plain_distance(left: str, right: str) -> int:
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


@given(st.text("abc霜", max_size=12), st.text("abc霜", max_size=12))
def test_the_bit_parallel_distance_is_levenshtein_s(left: str, right: str) -> None:
    assert EditDistances(left)(right) == plain_distance(left, right)


def test_the_distance_of_strings_longer_than_a_machine_word() -> None:
    left, right = "ab" * 60, "ba" * 70
    assert EditDistances(left)(right) == plain_distance(left, right)
