"""How well a bundle abstains: precision and recall of `[REJECT]` against labels that no training reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.bootstrap import LEVEL, RESAMPLES
from evaluation.errors import InputError
from evaluation.inputs import COLUMNS, Example, read_examples, read_parquet
from evaluation.metrics import Scores
from evaluation.predict import Answer

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
LABEL_COLUMNS = ("photo_id", "unsafe", "category")


@dataclass(frozen=True, slots=True)
class LabelledVideos:
    """The videos of the test day, each once, with their labels.

    Attributes:
        examples: the evidence of each video as of the test day, without a target.
        unsafe: whether it breaks a rule.
        category: the policy category, "" when safe.
    """

    examples: list[Example]
    unsafe: list[bool]
    category: list[str]


def write_labelled(shown: Path, labels: Path, out: Path) -> int:
    """Join the videos that were shown on the test day with their labels.

    Args:
        shown: `shown_test.parquet` of `onebar offline examples`.
        labels: Parquet with photo_id, unsafe (bool) and category (nullable); videos without a label are left out.
        out: the file to write; it has the columns of `shown` and also `unsafe` and `category`.

    Returns:
        The number of rows.

    Raises:
        InputError: a file is missing or not of this form, or no shown video has a label.
    """
    videos = read_parquet(shown, COLUMNS)
    known = {row["photo_id"]: row for row in read_parquet(labels, LABEL_COLUMNS).select(LABEL_COLUMNS).to_pylist()}
    photos = videos["photo_id"].to_pylist()
    rows = [row for row, photo in enumerate(photos) if photo in known]
    if not rows:
        raise InputError(f"{labels} has no label for any video of {shown}; are both from the same logs?")
    table = videos.take(pa.array(rows))
    for name, kind in (("unsafe", pa.bool_()), ("category", pa.string())):
        table = table.append_column(name, pa.array([known[photos[row]][name] for row in rows], kind))
    pq.write_table(table, out, compression="zstd")
    return int(table.num_rows)


def read_labelled(path: Path, *, limit: int | None = None, seed: int = 0) -> LabelledVideos:
    """Read a file that `write_labelled` wrote.

    Raises:
        InputError: the file is missing or not of that form.
    """
    examples = read_examples(path, limit=limit, seed=seed)
    truth = {row["photo_id"]: row for row in read_parquet(path, LABEL_COLUMNS).to_pylist()}
    rows = [truth[example.photo_id] for example in examples]
    return LabelledVideos(examples, [row["unsafe"] for row in rows], [row["category"] or "" for row in rows])


def abstention_report(answers: Sequence[Answer], videos: LabelledVideos, threshold: float) -> dict[str, Any]:
    """Return precision and recall of abstaining, with their intervals.

    The report also has both for videos that are new on the test day, recall by category, and a curve over thresholds.

    Args:
        answers: of the bundle, one for each video.
        videos: the labelled videos.
        threshold: P([REJECT]) from which the bundle abstains.
    """
    unsafe = np.array(videos.unsafe, bool)
    abstained = np.array([answer.abstains(threshold) for answer in answers], bool)
    new = np.array([example.photo_new for example in videos.examples], bool)
    categories = sorted({category for category in videos.category if category})
    names = np.array(videos.category, dtype=object)
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
