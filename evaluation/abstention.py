"""How well a bundle abstains: precision and recall of `[REJECT]` against labels that no training reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.bootstrap import LEVEL, RESAMPLES
from evaluation.labels import LabelledVideos
from evaluation.metrics import Scores
from evaluation.predict import Answer

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


def abstention_report(answers: Sequence[Answer], videos: LabelledVideos, threshold: float) -> dict[str, Any]:
    """Return precision and recall of abstaining, with their intervals.

    The report also has both for videos that are new on that day, recall by category, and a curve over thresholds.

    Args:
        answers: of the bundle, one for each video.
        videos: the labelled videos.
        threshold: P([REJECT]) from which the bundle abstains.
    """
    unsafe = np.array(videos.unsafe, bool)
    abstained = np.array([answer.abstains(threshold) for answer in answers], bool)
    new = np.array([example.photo_new for example in videos.examples], bool)
    names = np.where(unsafe, np.array(videos.category, dtype=object), "")  # the category of a safe video is none
    categories = sorted(set(names) - {""})
    return {
        "threshold": threshold,
        "videos": len(unsafe),
        "unsafe": int(unsafe.sum()),
        "abstained": int(abstained.sum()),
        **_precision_recall(abstained, unsafe),
        "intervals": _intervals(abstained, unsafe),
        "new_videos": {"unsafe": int(unsafe[new].sum()), **_precision_recall(abstained[new], unsafe[new])},
        "recall_by_category": {
            name: {"unsafe": int((names == name).sum()), "recall": _share(abstained[names == name])}
            for name in categories
        },
        "curve": [
            {"threshold": at, **_precision_recall(np.array([a.abstains(at) for a in answers], bool), unsafe)}
            for at in THRESHOLDS
        ],
    }


def _precision_recall(abstained: np.ndarray[Any, Any], unsafe: np.ndarray[Any, Any]) -> dict[str, float]:
    return {
        "precision": _share(unsafe[abstained]),
        "recall": _share(abstained[unsafe]),
        "false_abstention": _share(abstained[~unsafe]),
    }


def _intervals(abstained: np.ndarray[Any, Any], unsafe: np.ndarray[Any, Any]) -> dict[str, list[float]]:
    """Percentile bootstrap over videos."""
    counts = np.bincount(2 * abstained.astype(np.int64) + unsafe, minlength=4)  # shown safe, shown unsafe, ...
    drawn = np.random.default_rng(0).multinomial(len(unsafe), counts / max(len(unsafe), 1), size=RESAMPLES)
    caught = drawn[:, 3].astype(np.float64)
    ratios: dict[str, Scores] = {
        "precision": caught / np.maximum(drawn[:, 2] + drawn[:, 3], 1),
        "recall": caught / np.maximum(drawn[:, 1] + drawn[:, 3], 1),
    }
    tail = (1 - LEVEL) / 2
    return {name: np.quantile(values, [tail, 1 - tail]).round(4).tolist() for name, values in ratios.items()}


def _share(flags: np.ndarray[Any, Any]) -> float:
    return round(float(flags.mean()), 4) if len(flags) else 0.0
