"""Precision and recall of [REJECT] against labels."""

from __future__ import annotations

from collections.abc import Callable

from evaluation.abstention import abstention_report
from evaluation.inputs import Example
from evaluation.labels import LabelledVideos
from evaluation.predict import Answer


def answers(*probabilities: float) -> list[Answer]:
    return [Answer(["bike"], probability, reject_first=False) for probability in probabilities]


def test_a_bundle_abstains_over_its_threshold_or_with_reject_on_top() -> None:
    assert Answer([], 0.5, reject_first=False).abstains(0.5)
    assert not Answer([], 0.4, reject_first=False).abstains(0.5)
    assert Answer([], 0.4, reject_first=True).abstains(0.5)


def test_precision_recall_and_the_curve_by_hand(examples: Callable[..., list[Example]]) -> None:
    shown = examples({}, {"photo_new": True}, {}, {"photo_new": True})
    videos = LabelledVideos(shown, [True, True, False, False], ["fraud", "drugs", "", ""])
    report = abstention_report(answers(0.9, 0.2, 0.6, 0.0), videos, threshold=0.5)
    assert (report["precision"], report["recall"], report["false_abstention"]) == (0.5, 0.5, 0.5)
    assert report["recall_by_category"] == {
        "drugs": {"unsafe": 1, "recall": 0.0},
        "fraud": {"unsafe": 1, "recall": 1.0},
    }
    assert report["new_videos"] == {"unsafe": 1, "precision": 0.0, "recall": 0.0, "false_abstention": 0.0}
    by_threshold = {point["threshold"]: point["recall"] for point in report["curve"]}
    assert by_threshold[0.1] == 1.0
    assert by_threshold[0.9] == 0.5
    for name in ("precision", "recall"):
        low, high = report["intervals"][name]
        assert low <= report[name] <= high


def test_a_bundle_that_never_abstains_has_no_recall(examples: Callable[..., list[Example]]) -> None:
    videos = LabelledVideos(examples({}, {}), [True, False], ["fraud", ""])
    report = abstention_report(answers(0.0, 0.0), videos, threshold=0.5)
    assert (report["precision"], report["recall"]) == (0.0, 0.0)


def test_the_category_of_a_safe_video_does_not_count(examples: Callable[..., list[Example]]) -> None:
    videos = LabelledVideos(examples({}, {}), [True, False], ["fraud", "fraud"])
    report = abstention_report(answers(0.9, 0.0), videos, threshold=0.5)
    assert report["recall_by_category"] == {"fraud": {"unsafe": 1, "recall": 1.0}}
