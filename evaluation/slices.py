"""HR@8 and MRR@8 by slice: natural parts of the held-out clicks, not ablations (paper, Figure 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.bootstrap import intervals
from evaluation.inputs import Example
from evaluation.metrics import METRICS
from evaluation.shop_logs import ShopLogs
from evaluation.systems import Outcome

Masks = Mapping[str, npt.NDArray[np.bool_]]

AGES = {"0 days": (0, 0), "1 to 3 days": (1, 3), "4 to 7 days": (4, 7), "8 days and more": (8, None)}
"""Buckets of the age of a video on the day of the click, both ends included."""
HISTORY_SIZES = {"0": (0, 0), "1 to 3": (1, 3), "4 to 7": (4, 7), "8 and more": (8, None)}
"""Buckets of the number of cached histories."""


def slices(examples: Sequence[Example], logs: ShopLogs | None = None, day: int | None = None) -> Masks:
    """Return masks bool[n] over the examples.

    Args:
        examples: n held-out clicks.
        logs: the log tables of the shop; without them, age, category and activity are not known.
        day: of the clicks, needed with `logs`.

    Returns:
        By source of the click, whether the video is new, which fields are present, and the number of histories; with
        logs also by age of the video, by category, and by activity of the viewer.
    """
    evidence = [example.evidence() for example in examples]
    flags: dict[str, list[bool]] = {
        "source bar": [example.source == "bar" for example in examples],
        "source post_video": [example.source == "post_video" for example in examples],
        "video new": [example.photo_new for example in examples],
        "video old": [not example.photo_new for example in examples],
    }
    for field in ("text", "summary", "anchors", "histories", "personal"):
        present = [bool(getattr(item, field)) for item in evidence]
        flags[f"{field} present"] = present
        flags[f"{field} absent"] = [not flag for flag in present]
    flags["caption present"] = [bool(example.raw.caption) for example in examples]
    flags["caption absent"] = [not example.raw.caption for example in examples]
    flags |= _buckets("histories", [len(item.histories) for item in evidence], HISTORY_SIZES)
    if logs is not None and day is not None:
        flags |= _of_logs(examples, logs, day)
    return {name: np.array(values, bool) for name, values in flags.items()}


def _of_logs(examples: Sequence[Example], logs: ShopLogs, day: int) -> dict[str, list[bool]]:
    """Return the slices that need the log tables; videos and viewers that the tables do not have are in none."""
    created = [logs.created_day.get(example.photo_id) for example in examples]
    flags = _buckets("age", [None if first is None else day - first for first in created], AGES)
    for name, values in (
        ("category", [logs.category.get(example.photo_id) or None for example in examples]),
        ("viewer", [activity_name(logs.activity.get(example.user_id)) for example in examples]),
    ):
        for value in sorted({value for value in values if value is not None}):
            flags[f"{name} {value}"] = [found == value for found in values]
    return flags


def activity_name(activity: int | None) -> str | None:
    """Return the paper's name of an activity level, U0 to U4."""
    return None if activity is None else f"U{activity}"


def _buckets(
    name: str, sizes: Sequence[int | None], buckets: Mapping[str, tuple[int, int | None]]
) -> dict[str, list[bool]]:
    return {
        f"{name} {bucket}": [size is not None and low <= size and (high is None or size <= high) for size in sizes]
        for bucket, (low, high) in buckets.items()
    }


def slice_report(
    outcomes: Mapping[str, Outcome], masks: Masks, photos: Sequence[str], models: Sequence[str] = ()
) -> dict[str, Any]:
    """Return, for every slice that has examples, their number, HR@8 with its interval and MRR@8 of each system.

    Args:
        outcomes: of each system, of the same n examples.
        masks: slice to bool[n].
        photos: n videos, for the intervals.
        models: systems that every other one is compared with, pair by pair on the same examples.
    """
    names, systems = np.asarray(photos, dtype=object), list(outcomes)
    pairs = [(model, other) for model in models for other in systems if other != model]
    hits = np.stack([outcomes[system].hits for system in systems], axis=1)  # [n, systems]
    ranks = np.stack([outcomes[system].scores[:, METRICS.index("mrr")] for system in systems], axis=1)
    apart = [hits[:, systems.index(model)] - hits[:, systems.index(other)] for model, other in pairs]
    columns = np.column_stack([hits, *apart])  # [n, systems + pairs]
    report = {}
    for part, mask in masks.items():
        if not mask.any():
            continue
        values, bounds = columns[mask], intervals(columns[mask], names[mask].tolist())
        figures = [
            {"mean": round(float(mean), 4), "interval": bound.round(4).tolist()}
            for mean, bound in zip(values.mean(axis=0), bounds, strict=True)
        ]
        report[part] = {
            "examples": int(mask.sum()),
            "hr": dict(zip(systems, figures, strict=False)),
            "mrr": {name: round(float(mean), 4) for name, mean in zip(systems, ranks[mask].mean(axis=0), strict=True)},
            "differences": {
                f"{model} - {other}": figure
                for (model, other), figure in zip(pairs, figures[len(systems) :], strict=True)
            },
        }
    return report
