"""The table and the plot of the variants."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ingredients.report import PANELS, plot, to_markdown
from benchmarks.ingredients.variants import VARIANTS


def row(variant: str, hits: float) -> dict[str, Any]:
    figures = {"clicks": 8, "hr@8": hits, "decontaminated": hits / 4, "mrr@8": hits / 2, "loss": 1.5}
    curve = [{"step": step, "copy_accuracy": hits / 2, "hr@8": hits / step} for step in (2, 4)]
    return {
        "variant": variant,
        "steps": 4000,
        "copy_accuracy": 0.9,
        "own": figures,
        "unseen": {"a": figures, "b": figures | {"hr@8": hits + 0.1}},
        "curve": curve,
    }


def test_the_table_has_means_over_the_unseen_shops_and_the_change_by_each_variant() -> None:
    rows = [row("everything", 0.4), row("one-shop", 0.1), {"variant": "random-start", "error": "not finite"}]
    assert to_markdown(rows).splitlines()[2:] == [
        "| everything | 4,000 | .450 |  | .100 | .200 | 1.50 | .400 | .100 | .200 | 1.50 | .900 |",
        "| one-shop | 4,000 | .150 | -0.300 | .025 | .050 | 1.50 | .100 | .025 | .050 | 1.50 | .900 |",
        "| random-start | failed | | | | | | | | | | |",
    ]


def test_the_plot_has_one_line_for_each_variant_in_each_panel(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [row(variant.name, number / 20) for number, variant in enumerate(VARIANTS)]
    for name in ("one.svg", "two.svg"):
        plot([*rows, {"variant": "failed", "error": "not finite"}], tmp_path / name)
    drawn = (tmp_path / "one.svg").read_text(encoding="utf-8")
    lines = [f"{panel} {variant.name}" for panel in PANELS for variant in VARIANTS]
    assert sorted(re.findall(rf'<g id="((?:{"|".join(PANELS)}) [^"]+)"', drawn)) == sorted(lines)
    for variant in VARIANTS:
        assert f">{variant.name}</text>" in drawn
    assert (tmp_path / "two.svg").read_text(encoding="utf-8") == drawn
