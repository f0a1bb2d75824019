"""Runs predictors over held-out examples and scores them: as served, decontaminated, and by slice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.bootstrap import intervals
from evaluation.inputs import Example, decontaminate
from evaluation.metrics import METRICS, Scores, score_all

Predict = Callable[[Sequence[Example]], list[list[str]]]

VIEWS: dict[str, tuple[str, ...]] = {
    "as_served": (),
    "decontaminated": ("anchors", "histories"),
    "decontaminated_personal": ("anchors", "histories", "personal"),
}
"""The fields from which entries that contain the target are removed; the second view is the one of the paper."""


@dataclass(frozen=True, slots=True)
class System:
    """A predictor with a name.

    Attributes:
        name: in reports.
        predict: returns the queries for each example.
        reads: evidence fields that its answers depend on; views that do not change these need no second run.
    """

    name: str
    predict: Predict
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one system answers in one view.

    Attributes:
        predictions: the queries for each of n examples, best first, as shown; no query where it shows nothing.
        scores: float64 [n, len(METRICS)].
    """

    predictions: list[list[str]]
    scores: Scores

    @property
    def empty(self) -> float:
        """The share of examples without an answer."""
        return sum(not answer for answer in self.predictions) / len(self.predictions)

    @property
    def hits(self) -> Scores:
        """float64[n], 1 where the target is among the first eight."""
        return self.scores[:, METRICS.index("hr")]


def run_system(system: System, examples: Sequence[Example]) -> dict[str, Outcome]:
    """Return the outcome of every view of VIEWS."""
    outcomes: dict[str, Outcome] = {}
    runs: dict[tuple[str, ...], Outcome] = {}
    for view, fields in VIEWS.items():
        touched = tuple(field for field in fields if field in system.reads)
        if touched not in runs:
            inputs = decontaminate(examples, touched) if touched else examples
            predictions = system.predict(inputs)
            runs[touched] = Outcome(predictions, score_all(predictions, [example.target for example in examples]))
        outcomes[view] = runs[touched]
    return outcomes


def slices(examples: Sequence[Example]) -> dict[str, npt.NDArray[np.bool_]]:
    """Return masks bool[n] over the examples: source of the click, whether the video is new, which fields it has."""
    flags: dict[str, list[bool]] = {
        "source bar": [example.source == "bar" for example in examples],
        "source post_video": [example.source == "post_video" for example in examples],
        "video new": [example.photo_new for example in examples],
        "video old": [not example.photo_new for example in examples],
    }
    evidence = [example.evidence() for example in examples]
    for field in ("text", "summary", "anchors", "histories", "personal"):
        present = [bool(getattr(item, field)) for item in evidence]
        flags[f"{field} present"] = present
        flags[f"{field} absent"] = [not flag for flag in present]
    flags["caption present"] = [bool(example.raw.caption) for example in examples]
    flags["caption absent"] = [not example.raw.caption for example in examples]
    return {name: np.array(values, bool) for name, values in flags.items()}


def summarize(outcome: Outcome, photos: Sequence[str]) -> dict[str, Any]:
    """Return means and intervals of one outcome, as plain values."""
    means, bounds = outcome.scores.mean(axis=0), intervals(outcome.scores, photos)
    return {
        "empty": round(outcome.empty, 4),
        **{
            name: {"mean": round(float(mean), 4), "interval": bound.round(4).tolist()}
            for name, mean, bound in zip(METRICS, means, bounds, strict=True)
        },
    }


def summarize_slices(outcome: Outcome, masks: dict[str, npt.NDArray[np.bool_]]) -> dict[str, Any]:
    """Return size, HR and MRR of every slice that has examples."""
    return {
        name: {
            "examples": int(mask.sum()),
            "hr": round(float(outcome.hits[mask].mean()), 4),
            "mrr": round(float(outcome.scores[mask, METRICS.index("mrr")].mean()), 4),
        }
        for name, mask in masks.items()
        if mask.any()
    }


def summarize_difference(outcome: Outcome, other: Outcome, photos: Sequence[str]) -> dict[str, Any]:
    """Return the mean of `outcome` minus `other` on the same examples, with the interval of the difference."""
    difference = outcome.scores - other.scores
    bounds = intervals(difference, photos)
    return {
        name: {"mean": round(float(mean), 4), "interval": bound.round(4).tolist()}
        for name, mean, bound in zip(METRICS, difference.mean(axis=0), bounds, strict=True)
    }
