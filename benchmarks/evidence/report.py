"""The figures of several sizes as a table and as a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WORLD, WHOLE = "world", "the whole build"
_MIB = 2**20

Size = Mapping[str, Any]
"""`videos`, `world` and `build`, as `benchmarks.evidence.sizes` returns them."""


def parts_of(size: Size) -> dict[str, Mapping[str, Any]]:
    """Return the usage of the world, of each step of the build, and of the whole build, by name."""
    found = {WORLD: size["world"]} if size.get("world") else {}
    return {**found, **size["build"]["steps"], WHOLE: size["build"]["whole"]}


def growth(sizes: Sequence[Size], figure: str) -> dict[str, float]:
    """Return by part the exponent with which a figure grows from the smallest to the largest size: 1 is linear."""
    first, last = parts_of(sizes[0]), parts_of(sizes[-1])
    ratio = math.log(sizes[-1]["videos"] / sizes[0]["videos"])
    return {
        name: round(math.log(last[name][figure] / first[name][figure]) / ratio, 2)
        for name in last
        if name in first and ratio > 0 and first[name][figure] > 0 and last[name][figure] > 0
    }


def to_markdown(sizes: Sequence[Size]) -> str:
    """Return a table: a row for each part with CPU seconds / seconds / MiB of each size, and the growth of CPU time."""
    exponents = growth(sizes, "cpu_seconds")
    heads = [f"{size['videos']:,} videos" for size in sizes]
    lines = [f"| CPU s / s / MiB | {' | '.join(heads)} | growth |", "|---" * (len(sizes) + 2) + "|"]
    for name in parts_of(sizes[-1]):
        cells = [_cell(parts_of(size).get(name)) for size in sizes]
        lines.append(f"| {name} | {' | '.join(cells)} | {exponents.get(name, '')} |")
    return "\n".join(lines)


def _cell(used: Mapping[str, Any] | None) -> str:
    if used is None:
        return ""
    return f"{used['cpu_seconds']:,.0f} / {used['seconds']:,.0f} / {used['peak_memory_bytes'] / _MIB:,.0f}"


def plot(sizes: Sequence[Size], path: Path) -> None:
    """Draw CPU seconds and peak memory of each part over the number of videos, both axes logarithmic."""
    import matplotlib as mpl  # only the plot needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scale"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9.6, 3.8))
    drawn = (("cpu_seconds", 1, "CPU seconds"), ("peak_memory_bytes", _MIB, "peak memory, MiB"))
    for axis, (key, unit, label) in zip(axes, drawn, strict=True):
        for name in parts_of(sizes[-1]):
            points = [
                (size["videos"], max(parts_of(size)[name][key] / unit, 0.1)) for size in sizes if name in parts_of(size)
            ]
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("videos")
        axis.set_ylabel(label)
    axes[0].legend(fontsize="small")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
