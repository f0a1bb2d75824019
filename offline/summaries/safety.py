"""Safety labels from the content of videos: rows of the log table `reviews`, and what a person should look at.

What becomes a label by itself is what the platform's own rules and people say: prohibited terms on screen or in speech,
and grades. A refusal or a concern of the model only puts a video on the list of videos to review, because models refuse
harmless videos and miss harmful ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from evidence.rows import TEXT_FIELDS
from evidence.safety import ProhibitedTerms
from offline.logs.schema import TABLES
from offline.summaries.grades import COLUMNS, Verdict
from offline.summaries.outcome import Outcome
from offline.summaries.videos import Video

_EXCERPT_CHARACTERS = 120
_FORMULA = ("=", "+", "-", "@")
"""Beginnings of a cell that a spreadsheet would run."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A video that a person should review.

    Attributes:
        photo_id: of the video.
        category: the policy category that a rule or the model named, "" without one.
        reason: why it waits.
        excerpt: the words by which it was noticed.
    """

    photo_id: str
    category: str
    reason: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class SafetyResult:
    """Labels and the list of videos to review.

    Attributes:
        reviews: the log table `reviews`, those of the input included.
        waiting: the videos to review, in order of the input.
        by_terms: videos that a prohibited term on screen or in speech made unsafe.
        by_grades: videos that grades made unsafe.
        unknown: graded photo ids that the input does not have.
    """

    reviews: pa.Table
    waiting: tuple[Waiting, ...]
    by_terms: int
    by_grades: int
    unknown: int


def label(
    videos: Sequence[Video],
    outcomes: Sequence[Outcome],
    terms: ProhibitedTerms,
    grades: Mapping[str, Verdict],
    known: Mapping[str, Verdict],
    default_day: int,
) -> SafetyResult:
    """Return the safety labels of some videos.

    A person's verdict counts more than a term: of a review of the input and of grades the later one counts, and unsafe
    on the same day. A term counts from the day of upload. A term in a text field or in the summary itself gives no row:
    `offline.evidence.safety_labels` finds it there.

    Args:
        videos: the input.
        outcomes: of the same videos, in the same order.
        terms: the prohibited terms.
        grades: verdicts of the review file.
        known: verdicts of the table `reviews` of the input.
        default_day: the day of upload of videos without one.
    """
    verdicts: dict[str, Verdict] = dict(known)
    for photo_id, grade in grades.items():
        before = known.get(photo_id)
        if before is None or (grade.day, grade.unsafe) >= (before.day, before.unsafe):
            verdicts[photo_id] = grade
    waiting = []
    by_terms = 0
    for video, outcome in zip(videos, outcomes, strict=True):
        if video.photo_id in verdicts:
            continue
        note = _concern(video, outcome)
        if (hit := _hidden_term(video, outcome, terms)) is not None:
            day = default_day if video.created_day is None else video.created_day
            verdicts[video.photo_id] = Verdict(True, day, hit.category)
            by_terms += 1
            note = hit
        if note:
            waiting.append(note)
    ids = {video.photo_id for video in videos}
    return SafetyResult(
        reviews=_table(verdicts, ids),
        waiting=tuple(waiting),
        by_terms=by_terms,
        by_grades=sum(verdict.unsafe and photo_id in ids for photo_id, verdict in grades.items()),
        unknown=len(grades.keys() - ids),
    )


def known_verdicts(reviews: pa.Table) -> dict[str, Verdict]:
    """Return the verdicts of a log table `reviews` by photo id."""
    return {
        row["photo_id"]: Verdict(row["verdict"] == "unsafe", row["day"], row["policy_category"] or "")
        for row in reviews.to_pylist()
    }


def waiting_lines(waiting: Sequence[Waiting]) -> str:
    """Return the list of videos to review as a review file whose grades are to be filled in."""
    lines = ["\t".join((*COLUMNS, "reason", "excerpt"))]
    lines += ["\t".join(map(_cell, (w.photo_id, "", "", w.category, "", w.reason, w.excerpt))) for w in waiting]
    return "\n".join(lines) + "\n"


def _hidden_term(video: Video, outcome: Outcome, terms: ProhibitedTerms) -> Waiting | None:
    """Return the prohibited term that only the content of a video has, None without one."""
    if not len(terms):
        return None
    for text in (*(getattr(video.text, name) for name in TEXT_FIELDS), outcome.summary):
        if text and terms.find(text):
            return None
    for text in outcome.content:
        if match := terms.find(text):
            return Waiting(video.photo_id, match.category, f"prohibited term: {match.term}", text)
    return None


def _concern(video: Video, outcome: Outcome) -> Waiting | None:
    if outcome.refused:
        return Waiting(video.photo_id, "", "the model refused", outcome.summary)
    if outcome.concern:
        return Waiting(video.photo_id, "", f"the model's concern: {outcome.concern}", outcome.summary)
    return None


def _cell(text: str) -> str:
    """Return a text as one cell: content of unknown origin, which may be opened in a spreadsheet."""
    text = " ".join(text.split())[:_EXCERPT_CHARACTERS]
    return f"'{text}" if text.startswith(_FORMULA) else text


def _table(verdicts: Mapping[str, Verdict], ids: set[str]) -> pa.Table:
    rows = [(photo_id, verdicts[photo_id]) for photo_id in sorted(verdicts) if photo_id in ids]
    columns = [
        [photo_id for photo_id, _ in rows],
        [verdict.day for _, verdict in rows],
        ["unsafe" if verdict.unsafe else "safe" for _, verdict in rows],
        [verdict.category or None for _, verdict in rows],
    ]
    schema = TABLES["reviews"].schema
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
