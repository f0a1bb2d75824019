"""Draws one metric of several training runs over their steps, as SVG.

    python -m benchmarks.metric_curves copy_accuracy docs/copy_accuracy.svg \\
        --run "copying start" runs/a/metrics.jsonl --run "with substitution" runs/b/metrics.jsonl

A run is its `metrics.jsonl`. The metric may be one of a step (`loss`) or of an evaluation (`copy_accuracy`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.svg_panels import svg_panels

Curve = Sequence[tuple[int, float]]


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a `metrics.jsonl`; none where there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def curve_of(records: Sequence[Mapping[str, Any]], metric: str) -> Curve:
    """Return (step, value) of a metric, in order of steps.

    A resumed run repeats the steps since its last saved state. The later record of a step counts.
    """
    found = {}
    for record in records:
        for source in (record, record.get("evaluation") or {}):
            if metric in source:
                found[int(record["step"])] = float(source[metric])
    return sorted(found.items())


def plot(curves: Mapping[str, Curve], metric: str, path: Path) -> None:
    """Draw a line with its points for each run.

    Args:
        curves: (step, value) by the name of the run.
        metric: the label of the values, without underscores.
        path: the SVG file.
    """
    with svg_panels(path, 1, (6.4, 3.2)) as (figure, (axis,)):
        for name, curve in curves.items():
            [line] = axis.plot(*zip(*curve, strict=True), "o-", markersize=3, label=name)
            line.set_gid(name)
        axis.set(xlabel="steps", ylabel=metric.replace("_", " "))
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        figure.legend(loc="outside upper left", fontsize=8, frameon=False)


@click.command()
@click.argument("metric")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--run",
    "runs",
    type=(str, click.Path(exists=True, dir_okay=False, path_type=Path)),
    multiple=True,
    required=True,
    metavar="NAME METRICS.JSONL",
    help="A run, by a name of your own; repeat it.",
)
def main(metric: str, out: Path, runs: Sequence[tuple[str, Path]]) -> None:
    """Draw METRIC of training runs into the SVG file OUT."""
    curves = {name: curve_of(read_records(path), metric) for name, path in runs}
    for name, path in runs:
        if not curves[name]:
            raise click.ClickException(f"{path} has no {metric}")
    plot(curves, metric, out)


if __name__ == "__main__":
    sys.exit(main())
