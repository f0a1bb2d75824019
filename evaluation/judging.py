"""Asks a judge for its grades (SR) after everything else is measured, and says in the report how that went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.errors import ModelError
from evaluation.inputs import Example
from evaluation.language_model import LanguageModel
from evaluation.relevance import grades, relevance_report


@dataclass(frozen=True, slots=True)
class Shown:
    """What the systems show on one shop, as served.

    Attributes:
        examples: n held-out clicks.
        queries: by system, the queries of each of the n examples, best first.
    """

    examples: Sequence[Example]
    queries: Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Judge:
    """A language model that grades answers.

    Attributes:
        model: whom to ask.
        most: the most clicks of a shop that it grades.
    """

    model: LanguageModel
    most: int

    def grade(self, shown: Shown, relevance: dict[str, Any]) -> None:
        """Add SR of each system to `relevance`, under `sr`. Where the judge fails, the systems before are kept.

        Raises:
            ModelError: the judge cannot be asked, or gives no usable grade.
        """
        rows = np.sort(np.random.default_rng(0).permutation(len(shown.examples))[: self.most]).tolist()
        examples = [shown.examples[row] for row in rows]
        photos = [example.photo_id for example in examples]
        graded: dict[str, Any] = {}
        for name, queries in shown.queries.items():
            scores = grades(self.model, examples, [queries[row] for row in rows], show_progress=True)
            graded |= relevance_report({name: scores}, photos)
            relevance["sr"] = graded
        bars = sum(bool(queries[row]) for queries in shown.queries.values() for row in rows)
        if bars and not any(found["scored"] for found in graded.values()):
            del relevance["sr"]
            raise ModelError(f"{self.model.name} gave no usable grade for any of {bars:,} bars; see its log")


def unasked(judge: Judge | None) -> dict[str, str] | None:
    """Return what a report says of a judge that has not been asked; None without a judge."""
    return {"model": judge.model.name, "state": "not finished"} if judge is not None else None


def grade_report(judge: Judge, report: dict[str, Any], own: Shown, unseen: Mapping[str, Shown]) -> None:
    """Add the grades of every shop to a report.

    Args:
        judge: whom to ask.
        report: with what is measured of the own shop, and under `unseen` of the others; `judge` says how it went.
        own: what is shown on the own shop.
        unseen: the same of the others, by their names.

    Raises:
        ModelError: the judge failed. The report has the grades until then, and the reason.
    """
    try:
        judge.grade(own, report["relevance"])
        for name, shown in unseen.items():
            judge.grade(shown, report["unseen"][name]["relevance"])
    except ModelError as error:
        report["judge"]["state"] = f"failed: {error}"
        raise ModelError(f"the judge failed, and the report has no SR, or not all of it: {error}") from error
    report["judge"]["state"] = "finished"
