"""The review file: people compare videos with reference examples and grade them good, same or bad (GSB).

The paper names "GSB-based evaluation" as a source of safety labels and does not say more. Here the reference is the
least acceptable example of a policy category that is still allowed. A video is graded `good` if it is safer, `same` if
it is as safe, and `bad` if it is less safe. Several people may grade one video, on several days.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from offline.summaries.errors import InputError

POINTS = {"good": 1, "same": 0, "bad": -1}
COLUMNS = ("photo_id", "day", "grade", "policy_category", "reviewer")
"""Columns of the file. `reviewer` and `policy_category` may be empty; further columns are not read."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a review says of a video.

    Attributes:
        unsafe: whether the video is unsafe.
        day: since when that is known.
        category: the policy category, "" without one.
    """

    unsafe: bool
    day: int
    category: str = ""


@dataclass(frozen=True, slots=True)
class _Grade:
    day: int
    points: int
    category: str


def read_grades(path: Path) -> dict[str, Verdict]:
    """Read a review file: UTF-8, tab-separated, with a header of COLUMNS.

    A row without a grade has not been reviewed yet and is skipped. A video is unsafe if it has more `bad` than `good`
    grades. The verdict is known from the first day from which on the grades have said the same, so that no evidence of
    an earlier day knows it.

    Returns:
        The verdict by photo id.

    Raises:
        InputError: the file cannot be read, or a row has another form.
    """
    grades: dict[str, list[_Grade]] = defaultdict(list)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [name for name in COLUMNS[:3] if name not in (rows.fieldnames or ())]
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}; its first line must name {COLUMNS}")
            for row in rows:
                grade = (row["grade"] or "").strip().casefold()
                if grade:
                    place = f"{path}, line {rows.line_num}"
                    photo_id = (row["photo_id"] or "").strip()
                    grades[photo_id].append(_grade(grade, row["day"], row.get("policy_category"), place))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (csv.Error, OSError) as error:
        raise InputError(f"{path} cannot be read as a tab-separated file: {error}") from error
    return {photo_id: _verdict(given) for photo_id, given in grades.items()}


def _grade(grade: str, day: str | None, category: str | None, place: str) -> _Grade:
    if grade not in POINTS:
        raise InputError(f"{place}: the grade is {grade!r}; write {', '.join(POINTS)}, or nothing")
    try:
        return _Grade(int(day or ""), POINTS[grade], (category or "").strip())
    except ValueError as error:
        raise InputError(f"{place}: the day is {day!r}; write the log day of the review, a whole number") from error


def _verdict(grades: list[_Grade]) -> Verdict:
    grades = sorted(grades, key=lambda grade: grade.day)
    points, unsafe, since = 0, False, grades[0].day
    for place, grade in enumerate(grades):
        points += grade.points
        last_of_day = place + 1 == len(grades) or grades[place + 1].day != grade.day
        if last_of_day and (points < 0) != unsafe:
            unsafe, since = points < 0, grade.day
    category = next((grade.category for grade in grades if grade.points < 0 and grade.category), "")
    return Verdict(unsafe, since, category if unsafe else "")
