"""Runs predictors over held-out examples and scores them, as served and decontaminated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

RANKED = ("hr", "mrr")
"""The metrics that are also reported for new videos."""


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


def summarize(outcome: Outcome, photos: Sequence[str], new: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return means and intervals of one outcome, as plain values.

    Args:
        outcome: of n examples.
        photos: n videos, for the intervals.
        new: bool[n], the examples on videos of the held-out day; `hr_new` and `mrr_new` are over them.
    """
    return {"empty": round(outcome.empty, 4), **_figures(outcome.scores, photos, new)}


def summarize_slices(outcome: Outcome, masks: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, Any]:
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


def summarize_difference(
    outcome: Outcome, other: Outcome, photos: Sequence[str], new: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the mean of `outcome` minus `other` on the same examples, with the interval of the difference.

    The arguments and the keys of the result are those of `summarize`.
    """
    return _figures(outcome.scores - other.scores, photos, new)


def _figures(scores: Scores, photos: Sequence[str], new: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return means and intervals of float64 [n, len(METRICS)], and those of RANKED over the new videos."""
    names = np.asarray(photos, dtype=object)
    ranked = [METRICS.index(name) for name in RANKED]
    return {
        **_by_name(METRICS, scores, photos),
        **_by_name([f"{name}_new" for name in RANKED], scores[new][:, ranked], names[new].tolist()),
    }


def _by_name(names: Sequence[str], values: Scores, photos: Sequence[str]) -> dict[str, Any]:
    means = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
    return {
        name: {"mean": round(float(mean), 4), "interval": bound.round(4).tolist()}
        for name, mean, bound in zip(names, means, intervals(values, photos), strict=True)
    }
