"""Safety labels from the content of videos, and the list of videos that a person should look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evidence.safety import ProhibitedTerms
from evidence.schema import RawText
from offline.logs.validation import validate
from offline.summaries.grades import Verdict, read_grades
from offline.summaries.outcome import Outcome
from offline.summaries.safety import SafetyResult, known_verdicts, label, waiting_lines
from offline.summaries.videos import Video

TERMS = ProhibitedTerms((("drugs", "magic pills"), ("drugs", "违禁药品")))


def labels(
    video: Video,
    outcome: Outcome,
    *,
    grades: dict[str, Verdict] | None = None,
    known: dict[str, Verdict] | None = None,
    terms: ProhibitedTerms = TERMS,
) -> SafetyResult:
    return label([video], [outcome], terms, grades or {}, known or {}, default_day=9)


def rows(result: SafetyResult) -> list[dict[str, Any]]:
    validate(result.reviews, "reviews", where="reviews")
    return list(result.reviews.to_pylist())


UNSAFE = {"photo_id": "p", "day": 4, "verdict": "unsafe", "policy_category": "drugs"}
SAFE = {"photo_id": "p", "day": 5, "verdict": "safe", "policy_category": None}
VIDEO = Video("p", RawText(caption="vitamins"), created_day=4)
ON_SCREEN = Outcome("vitamins", "composed", content=("buy MAGIC  P1LLS now",))


def test_a_term_on_screen_or_in_speech_makes_a_video_unsafe_from_its_upload() -> None:
    result = labels(VIDEO, ON_SCREEN)
    assert rows(result) == [UNSAFE]
    assert result.by_terms == 1
    chinese = Outcome(content=("今天有违禁药品",))
    assert rows(labels(VIDEO, chinese)) == [UNSAFE]
    assert rows(labels(Video("p", RawText()), chinese))[0]["day"] == 9


def test_a_term_that_the_texts_or_the_summary_have_is_left_to_the_rules_of_the_evidence() -> None:
    assert rows(labels(Video("p", RawText(title="magic pills")), ON_SCREEN)) == []
    assert rows(labels(VIDEO, Outcome("magic pills", "composed", content=("magic pills",)))) == []
    assert rows(labels(VIDEO, ON_SCREEN, terms=ProhibitedTerms(()))) == []


def test_a_person_overrules_a_term() -> None:
    result = labels(VIDEO, ON_SCREEN, grades={"p": Verdict(False, 5)})
    assert rows(result) == [SAFE]
    assert (result.by_terms, result.waiting) == (0, ())


def test_the_later_of_a_review_and_a_grade_counts_and_unsafe_on_the_same_day() -> None:
    bad, good = Verdict(True, 4, "drugs"), Verdict(False, 5)
    assert rows(labels(VIDEO, Outcome(), grades={"p": bad}, known={"p": good})) == [SAFE]
    assert rows(labels(VIDEO, Outcome(), grades={"p": good}, known={"p": bad})) == [SAFE]
    same_day = Verdict(False, 4)
    assert rows(labels(VIDEO, Outcome(), grades={"p": same_day}, known={"p": bad})) == [UNSAFE]
    assert rows(labels(VIDEO, Outcome(), grades={"p": bad}, known={"p": same_day})) == [UNSAFE]


def test_reviews_of_the_input_stay_as_they_are() -> None:
    result = labels(VIDEO, Outcome(), known={"p": Verdict(True, 4, "drugs")})
    assert rows(result) == [UNSAFE]
    assert known_verdicts(result.reviews) == {"p": Verdict(True, 4, "drugs")}


def test_a_refusal_or_a_concern_of_the_model_is_no_label_and_waits_for_a_person() -> None:
    for outcome in (Outcome("vitamins", "composed", refused=True), Outcome("vitamins", "model", concern="weapons")):
        result = labels(VIDEO, outcome)
        assert rows(result) == []
        assert [waiting.photo_id for waiting in result.waiting] == ["p"]
        assert labels(VIDEO, outcome, known={"p": Verdict(False, 5)}).waiting == ()


def test_grades_of_unknown_videos_are_counted_and_left_out() -> None:
    result = labels(VIDEO, Outcome(), grades={"q": Verdict(True, 1)})
    assert rows(result) == []
    assert (result.unknown, result.by_grades) == (1, 0)


def test_the_list_to_review_is_a_review_file_to_be_filled_in(tmp_path: Path) -> None:
    result = labels(VIDEO, Outcome("vitamins", "model", content=("=cmd()\t magic\npills",)))
    path = tmp_path / "to_review.tsv"
    path.write_text(waiting_lines(result.waiting))
    assert read_grades(path) == {}
    header, line = path.read_text().splitlines()
    cells = dict(zip(header.split("\t"), line.split("\t"), strict=True))
    assert cells["excerpt"] == "'=cmd() magic pills"  # a spreadsheet must not run it
    assert (cells["policy_category"], cells["reason"]) == ("drugs", "prohibited term: magic pills")
    path.write_text(header + "\n" + line.replace("p\t\t\t", "p\t5\tbad\t", 1) + "\n")
    assert read_grades(path) == {"p": Verdict(True, 5, "drugs")}
