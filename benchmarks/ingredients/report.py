"""A result as a table in Markdown, and its learning curves as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ingredients.plan import FIGURES
from benchmarks.ingredients.variants import EVERYTHING
from benchmarks.svg_panels import svg_panels

PANELS = {
    "copy_accuracy": "copy accuracy (probe of random entries)",
    "hr@8": "HR@8 (validation day)",
}
"""Figures of a learning curve that are plotted, and the labels of their axes."""


def unseen_means(row: Mapping[str, Any]) -> dict[str, float]:
    """Return each figure of a row as the mean over its unseen shops."""
    shops = list(row["unseen"].values())
    return {name: sum(shop[name] for shop in shops) / len(shops) for name in FIGURES}


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table: a row for each variant, and the change of HR@8 against the whole recipe where that was run."""
    lines = [
        "| variant | steps | unseen shops: HR@8 | change | decontaminated | MRR@8 | loss "
        "| first shop: HR@8 | decontaminated | MRR@8 | loss | copying |",
        "|---|" + "---:|" * 11,
    ]
    recipe = next(
        (unseen_means(row)["hr@8"] for row in rows if row["variant"] == EVERYTHING and "error" not in row), None
    )
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['variant']} | failed |" + " |" * 10)
            continue
        unseen, own = unseen_means(row), row["own"]
        change = "" if recipe is None or row["variant"] == EVERYTHING else f"{unseen['hr@8'] - recipe:+.3f}"
        cells = [
            *(row["variant"], f"{row['steps']:,}", _share(unseen["hr@8"]), change, *_others(unseen)),
            *(_share(own["hr@8"]), *_others(own), _share(row["copy_accuracy"])),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _others(figures: Mapping[str, float]) -> tuple[str, ...]:
    return _share(figures["decontaminated"]), _share(figures["mrr@8"]), f"{figures['loss']:.2f}"


def _share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the learning curves as SVG: a panel for each figure of PANELS, with a line for each variant."""
    with svg_panels(path, len(PANELS), (11, 4.2)) as (figure, axes):
        for axis, (name, label) in zip(axes, PANELS.items(), strict=True):
            for number, row in enumerate(row for row in rows if "error" not in row):
                steps, values = zip(*((point["step"], point[name]) for point in row["curve"]), strict=True)
                dashes = ("-", "--", ":")[number // 10 % 3]
                [line] = axis.plot(steps, values, dashes, color=f"C{number % 10}", label=row["variant"])
                line.set_gid(f"{name} {row['variant']}")
            axis.set(xlabel="steps, those of Stage 0 included", ylabel=label)
            axis.set_xlim(left=0)
            axis.set_ylim(bottom=0)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)
