"""What a training run has logged in metrics.jsonl: its evaluations, its losses, and how far it went."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.checkpoint import METRICS_FILE

Point = Mapping[str, float]
"""`step` and figures."""


def _records(checkpoint: Path) -> list[dict[str, Any]]:
    path = checkpoint / METRICS_FILE
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def evaluations(checkpoint: Path) -> list[Point]:
    """Return the evaluations of a run by step. A resumed run repeats steps; the later record counts."""
    points = {
        record["step"]: {"step": record["step"], **record["evaluation"]}
        for record in _records(checkpoint)
        if "evaluation" in record
    }
    return [points[step] for step in sorted(points)]


def losses(checkpoint: Path) -> list[Point]:
    """Return the logged means of the terms of the loss by step."""
    points = {record["step"]: record for record in _records(checkpoint) if "evaluation" not in record}
    return [points[step] for step in sorted(points)]


def last_step(checkpoint: Path) -> dict[str, float]:
    """Return steps and seconds of a run, and the step with the best validation HR@8."""
    found, records = evaluations(checkpoint), _records(checkpoint)
    if not found:
        return {}
    best = max(found, key=lambda point: (point["hr@8"], -point["step"]))
    return {
        "steps": found[-1]["step"],
        "seconds": records[-1]["seconds"],
        "best_step": best["step"],
        "valid_hr@8": round(best["hr@8"], 4),
    }


def mean_curve(curves: Sequence[Sequence[Point]], name: str) -> tuple[list[float], list[float]]:
    """Return steps and means of a figure over the runs that have it at a step; runs of unequal length are cut."""
    values: dict[float, list[float]] = {}
    for curve in curves:
        for point in curve:
            if name in point:
                values.setdefault(point["step"], []).append(point[name])
    steps = sorted(step for step, found in values.items() if len(found) == len(curves))
    return steps, [sum(values[step]) / len(values[step]) for step in steps]
