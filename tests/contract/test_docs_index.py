"""docs/README.md lists every page and every decision, and decisions that change each other say so on both sides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted({*DOCS.glob("*.md"), *DOCS.glob("adr/*.md")} - {DOCS / "README.md"})
DECISIONS = {int(path.name[:4]): path for path in DOCS.glob("adr/*.md")}


def status(path: Path) -> str:
    """The paragraph of the status, on one line."""
    _, _, rest = path.read_text(encoding="utf-8").partition("Status:")
    return " ".join(rest.split("\n\n")[0].split())


def named(path: Path, verb: str) -> set[int]:
    """The decisions that the status of this one says it amends, or that amend it."""
    sentences = re.findall(
        rf"{verb} (?:by )?(?:ADRs? )?(.*?)(?:\.(?: |$)|: )", re.sub(r"\]\([^)]*\)", "", status(path))
    )
    return {int(number) for sentence in sentences for number in re.findall(r"\b\d+\b", sentence)}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_page_is_in_the_index(path: Path) -> None:
    assert f"]({path.relative_to(DOCS).as_posix()})" in (DOCS / "README.md").read_text(encoding="utf-8")


def test_amendments_are_named_on_both_sides() -> None:
    amends = {(new, old) for new, path in DECISIONS.items() for old in named(path, "Amends")}
    amended = {(new, old) for old, path in DECISIONS.items() for new in named(path, "Amended")}
    assert amends == amended
    assert len(amends) > 5
