"""Figures 4 to 7 as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ablations.figures import CHECKPOINTS, FIELDS, KL
from benchmarks.ablations.statistics import Figure
from benchmarks.ablations.tables import Table

_GREY = "#808080"  # text and axes; it can be read on white and on black
_PANELS = {
    "entropy, nats": ("teacher_entropy", "student_entropy"),
    "mass of the first token": ("teacher_top1_mass", "student_top1_mass"),
    "mass beyond the first ten": ("teacher_tail_mass", "student_tail_mass"),
    "shares": ("support_overlap", "student_mass_outside", "gold_outside"),
}


def plot(table: Table, path: Path, smoke: bool) -> None:
    """Draw one of Figures 4 to 7 from its table.

    Args:
        table: of `benchmarks.ablations.figures`, with rows.
        path: of the SVG.
        smoke: say in the picture that its figures mean nothing.
    """
    with _figure(path, "SMOKE TEST: these figures mean nothing" if smoke else table.title) as figure:
        _DRAWN[table.part](table, figure)


@contextmanager
def _figure(path: Path, title: str) -> Iterator[Any]:
    import matplotlib as mpl  # only the plots need it

    mpl.use("svg")
    style: Any = {
        "svg.hashsalt": "ablations",  # the same figures give the same file
        "svg.fonttype": "none",  # text stays text, which is smaller than its outlines
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _GREY),
    }
    with mpl.rc_context(style):
        from matplotlib import pyplot

        figure = pyplot.figure(layout="constrained")
        figure.suptitle(title, fontsize=10)
        yield figure
        for axis in figure.axes:
            axis.spines[["top", "right"]].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
        pyplot.close(figure)


def _diagnostics(table: Table, figure: Any) -> None:
    figure.set_size_inches(8, 5.6)
    for place, (label, names) in enumerate(_PANELS.items(), start=1):
        axis = figure.add_subplot(2, 2, place)
        for name in names:
            axis.plot(*_curve(table, name), marker=".", label=name.replace("_", " "))
        axis.set(xlabel="step", ylabel=label)
        axis.legend(fontsize=7, frameon=False)


def _slices(table: Table, figure: Any) -> None:
    rows = [row for row in table.rows if str(row[0]).split(" ")[0] in FIELDS] or table.rows
    figure.set_size_inches(7, 0.8 + 0.32 * len(rows))
    axis = figure.add_subplot()
    systems = table.columns[2:]
    height = 0.8 / max(len(systems), 1)
    for place, system in enumerate(systems):
        found = [row[2 + place] for row in rows]
        means = [one.mean if isinstance(one, Figure) else 0.0 for one in found]
        bounds = [(one.low or 0.0, one.high or 0.0) if isinstance(one, Figure) else (0.0, 0.0) for one in found]
        errors = [
            [max(mean - low, 0.0) for mean, (low, _) in zip(means, bounds, strict=True)],
            [max(high - mean, 0.0) for mean, (_, high) in zip(means, bounds, strict=True)],
        ]
        places = [number + (place - (len(systems) - 1) / 2) * height for number in range(len(rows))]
        axis.barh(places, means, height, xerr=errors, label=system, error_kw={"elinewidth": 0.8, "ecolor": _GREY})
    axis.set_yticks(range(len(rows)), [f"{row[0]} ({row[1]:,})" for row in rows], fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("HR@8")
    figure.legend(loc="outside lower center", ncols=len(systems), fontsize=7, frameon=False)


def _cutoffs(table: Table, figure: Any) -> None:
    figure.set_size_inches(5.6, 3.6)
    axis = figure.add_subplot()
    for name in table.columns[1:]:
        axis.plot(*_curve(table, name), marker=".", label=name)
    axis.set(xlabel="k", ylabel="HR@k")
    axis.legend(fontsize=8, frameon=False)


def _checkpoints(table: Table, figure: Any) -> None:
    figure.set_size_inches(8, 3.2)
    for place, (label, names) in enumerate((("validation", CHECKPOINTS), ("divergence, training", KL)), start=1):
        axis = figure.add_subplot(1, 2, place)
        for name in names:
            axis.plot(*_curve(table, name), marker=".", label=name.replace("_", " "))
        axis.set(xlabel="step", ylabel=label)
        axis.legend(fontsize=8, frameon=False)


def _curve(table: Table, name: str) -> tuple[list[float], list[float]]:
    """Return the first column and another one, where it has values."""
    place = table.columns.index(name)
    points = [(row[0], row[place]) for row in table.rows if row[place] is not None]
    return (
        [float(step) for step, _ in points],  # type: ignore[arg-type]
        [value.mean if isinstance(value, Figure) else float(value) for _, value in points],  # type: ignore[arg-type]
    )


_DRAWN: dict[str, Callable[[Table, Any], None]] = {
    "figure4": _diagnostics, "figure5": _slices, "figure6": _cutoffs, "figure7": _checkpoints,
}  # fmt: skip
