"""Reports are written beside each other under the name that was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.report_files import write_report


@pytest.mark.parametrize(
    ("name", "stem"), [("rate-0.1", "rate-0.1"), ("rate-0.2", "rate-0.2"), ("a.json", "a"), ("a.md", "a"), ("b", "b")]
)
def test_a_name_keeps_its_dots(tmp_path: Path, name: str, stem: str) -> None:
    said = write_report(tmp_path / "new" / name, {"rate": 1}, "# rate")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [f"{stem}.json", f"{stem}.md"]
    assert json.loads((tmp_path / "new" / f"{stem}.json").read_text()) == {"rate": 1}
    assert f"{stem}.md" in said
