"""The review file: grades of several people become one verdict, from the day on which it was known."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline.summaries.errors import InputError
from offline.summaries.grades import Verdict, read_grades


def write(path: Path, *rows: str, header: str = "photo_id day grade policy_category reviewer") -> Path:
    path.write_text("\n".join(["\t".join(header.split()), *("\t".join(row.split(",")) for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (["p,3,bad,drugs,a"], Verdict(True, 3, "drugs")),
        (["p,3,good,,a"], Verdict(False, 3)),
        (["p,3,same,,a"], Verdict(False, 3)),
        (["p,3,BAD ,drugs,a", "p,3,good,,b"], Verdict(False, 3)),
        (["p,3,bad,drugs,a", "p,3,same,,b"], Verdict(True, 3, "drugs")),
        (["p,5,bad,drugs,a", "p,3,good,,b", "p,6,bad,drugs,c"], Verdict(True, 6, "drugs")),
        (["p,3,bad,drugs,a", "p,4,bad,arms,b", "p,9,good,,c"], Verdict(True, 3, "drugs")),
        (["p,3,bad,drugs,a", "p,4,good,,b"], Verdict(False, 4)),
        (["p,3,bad,,a", "p,4,good,,b", "p,7,bad,arms,c"], Verdict(True, 7, "arms")),
    ],
)
def test_the_verdict_and_its_day(tmp_path: Path, rows: list[str], verdict: Verdict) -> None:
    assert read_grades(write(tmp_path / "g.tsv", *rows)) == {"p": verdict}


def test_a_verdict_of_a_day_uses_no_later_grade(tmp_path: Path) -> None:
    rows = ["p,1,good,,a", "p,2,bad,x,a", "p,4,bad,x,b", "p,5,same,,c", "p,8,good,,d", "p,8,good,,e"]
    for count in range(1, len(rows) + 1):
        verdict = read_grades(write(tmp_path / "g.tsv", *rows[:count]))["p"]
        known = [row for row in rows[:count] if int(row.split(",")[1]) <= verdict.day]
        assert read_grades(write(tmp_path / "g.tsv", *known))["p"].unsafe == verdict.unsafe


def test_rows_without_a_grade_are_not_reviewed_yet(tmp_path: Path) -> None:
    assert read_grades(write(tmp_path / "g.tsv", "p,,,drugs,", "q,2,bad,,x")) == {"q": Verdict(True, 2)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("photo_id\tgrade\n", "has no column day; its first line must name"),
        ("", "has no column photo_id, day, grade"),
        ("photo_id\tday\tgrade\np\t1\tawful\n", "line 2: the grade is 'awful'; write good, same, bad, or nothing"),
        ("photo_id\tday\tgrade\np\tMonday\tbad\n", "line 2: the day is 'Monday'; write the log day of the review"),
        ("photo_id\tday\tgrade\np\t\tbad\n", "line 2: the day is ''"),
    ],
)
def test_another_form_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "g.tsv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_grades(path)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "g.tsv").write_bytes("photo_id\tday\tgrade\n无线\t1\tbad\n".encode("gb18030"))
    with pytest.raises(InputError, match="is not UTF-8"):
        read_grades(tmp_path / "g.tsv")
