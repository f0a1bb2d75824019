"""The file of prohibited terms: its lines, its options, and what is said of a wrong line."""

from __future__ import annotations

from pathlib import Path

import pytest

from evidence.errors import TermListError
from evidence.safety import ProhibitedTerms
from evidence.term_list import Term, load_terms

LIST = """# policy 7
tobacco\tvape

#! inflections=all leet=off
weapons\tgun
#! inflections=none
adult\tsex toy
#!
drugs\tpot
"""


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "terms.tsv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_options_hold_for_the_terms_below_them_up_to_the_next_options(tmp_path: Path) -> None:
    assert load_terms(written(tmp_path, LIST)) == [
        Term("tobacco", "vape"),
        Term("weapons", "gun", "all", False),
        Term("adult", "sex toy", "none", True),
        Term("drugs", "pot", "plurals", True),
    ]


def test_options_decide_what_is_found(tmp_path: Path) -> None:
    terms = ProhibitedTerms(load_terms(written(tmp_path, LIST)))
    found = ["vapes", "v4pe", "gun", "guns", "gunning", "gunned", "sex toy", "s3x toy", "pots", "p0t"]
    missed = ["vaping", "gυnner", "6un", "sex toys", "potted"]
    assert [text for text in found + missed if terms.find(text)] == found


def test_a_byte_order_mark_is_no_part_of_the_list(tmp_path: Path) -> None:
    assert load_terms(written(tmp_path, "tobacco\tvape\n".encode("utf-8-sig"))) == [Term("tobacco", "vape")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"tobacco vape\n", "line 1: expected category<TAB>term"),
        (b"a\tb\n\tvape\n", "line 2: expected"),
        (b"a\t\xff\n", "UTF-8"),
        (b"a\tb\na\t!!\n", "line 2: the term '!!' has no letter"),
        ("a\t\u3164\n".encode(), "line 1: the term .* has no letter"),
        (b"#! leet=yes\n", r"line 1: 'leet=yes' is not an option; write inflections=none\|plurals\|all"),
        (b"a\tb\n#! inflection=all\n", "line 2: 'inflection=all' is not an option"),
        (b"#! inflections\n", "line 1: 'inflections' is not an option"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(TermListError, match=says):
        load_terms(written(tmp_path, content))


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TermListError, match="cannot read"):
        load_terms(tmp_path / "none.tsv")
