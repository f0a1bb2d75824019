"""HR@8 on new videos: what a refresh changes, by its evidence and by its model.

The clicks are those of the day after a refresh, on the videos that were new on its day. They are answered three times:
by the bundle of before with what was known without the refresh, which are the texts of the video and the queries of the
viewer; by the same bundle with the evidence that the refresh published; and by the bundle that is served after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import intervals
from evaluation.inputs import Example, read_examples
from evaluation.metrics import METRICS, score_all
from evaluation.predict import BundlePredictor

BEFORE, EVIDENCE, REFRESHED = "before", "evidence", "refreshed"


@dataclass(frozen=True, slots=True)
class NextDay:
    """The day after a refresh.

    Attributes:
        day: of the refresh.
        clicks: file of the examples of the day after.
        before: the bundle that was served before the refresh.
        after: the bundle that is served after it.
    """

    day: int
    clicks: Path
    before: Path
    after: Path


def quality(days: Sequence[NextDay], created: Mapping[str, int]) -> dict[str, Any]:
    """Return HR@8 of each day and of all days, with the differences from `before` and their 95 % intervals.

    Args:
        days: after each refresh.
        created: the day on which each video was new.
    """
    bundle = lru_cache(maxsize=None)(BundlePredictor)
    found: dict[int, tuple[list[str], dict[str, Any]]] = {}
    for item in days:
        examples = [e for e in read_examples(item.clicks, kind="click") if created[e.photo_id] == item.day]
        if not examples:  # a very small shop may have none
            continue
        bare = [without_logs(example) for example in examples]
        answers = {
            BEFORE: bundle(item.before).predict(bare),
            EVIDENCE: bundle(item.before).predict(examples),
            REFRESHED: bundle(item.after).predict(examples),
        }
        targets = [example.target for example in examples]
        hits = {name: score_all(queries, targets)[:, METRICS.index("hr")] for name, queries in answers.items()}
        found[item.day] = ([f"{item.day} {example.photo_id}" for example in examples], hits)
    pooled = {
        name: np.concatenate([hits[name] for _, hits in found.values()]) for name in (BEFORE, EVIDENCE, REFRESHED)
    }
    videos = [video for names, _ in found.values() for video in names]
    return {
        "days": {day: _figures(hits, names) for day, (names, hits) in found.items()},
        "all": _figures(pooled, videos),
    }


def without_logs(example: Example) -> Example:
    """Return an example as the service knows a video that is new: by its texts, which the caller sends."""
    return replace(example, anchors=(), histories=())


def _figures(hits: Mapping[str, Any], videos: Sequence[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {"clicks": len(videos), "videos": len(set(videos))}
    for name, values in hits.items():
        figures[name] = {"hr": round(float(values.mean()), 4)}
        if name != BEFORE:
            [(low, high)] = intervals((values - hits[BEFORE])[:, None], videos)
            figures[name]["interval"] = [round(float(low), 4), round(float(high), 4)]
    return figures
