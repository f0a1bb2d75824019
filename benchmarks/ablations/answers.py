"""The answers of one run to the measured clicks with their scores, as a Parquet file that the report is made from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.inputs import Example, decontaminate
from evaluation.metrics import METRICS, Scores, score_all
from evaluation.nearest import TextEmbedder
from evaluation.relevance import similarity

VIEWS = ("decontaminated", "as_served")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one system answers to n clicks in one view.

    Attributes:
        predictions: the queries of each click, best first, as shown.
        scores: float64 [n, len(METRICS)].
        relevance: float64 [n], BAS; not a number where nothing is shown.
    """

    predictions: list[list[str]]
    scores: Scores
    relevance: Scores

    @property
    def ranks(self) -> Scores:
        """float64 [n], the rank of the clicked query, infinite where it is not among the first eight."""
        with np.errstate(divide="ignore"):
            ranks: Scores = np.round(1 / self.scores[:, METRICS.index("mrr")])
        return ranks


Views = Mapping[str, Measured]
"""By name of VIEWS."""


def in_views(examples: Sequence[Example]) -> dict[str, Sequence[Example]]:
    """Return the clicks as they are read in each view."""
    return {"decontaminated": decontaminate(examples), "as_served": examples}


def measured(predictions: list[list[str]], examples: Sequence[Example], embedder: TextEmbedder) -> Measured:
    """Return answers to clicks with their scores."""
    scores = score_all(predictions, [example.target for example in examples])
    return Measured(predictions, scores, similarity(examples, predictions, embedder))


def write_answers(path: Path, systems: Mapping[str, Views]) -> None:
    """Write the answers of systems to the same clicks in all views, in one rename."""
    parts = []
    for system, views in systems.items():
        for view, found in views.items():
            columns = {name: found.scores[:, place] for place, name in enumerate(METRICS)}
            names = {name: [value] * len(found.predictions) for name, value in (("system", system), ("view", view))}
            queries = pa.array(found.predictions, pa.list_(pa.string()))
            parts.append(pa.table({**names, "queries": queries, **columns, "bas": found.relevance}))
    unfinished = path.with_name(path.name + ".partial")
    pq.write_table(pa.concat_tables(parts), unfinished)
    os.replace(unfinished, path)


def read_answers(path: Path) -> dict[str, dict[str, Measured]]:
    """Return the answers that `write_answers` wrote, by system and view."""
    table = pq.read_table(path)
    names = np.asarray(table["system"].to_pylist(), dtype=object), np.asarray(table["view"].to_pylist(), dtype=object)
    found: dict[str, dict[str, Measured]] = {}
    for system, view in dict.fromkeys(zip(*names, strict=True)):
        part = table.filter(pa.array((names[0] == system) & (names[1] == view)))
        scores = np.stack([part[name].to_numpy() for name in METRICS], axis=1)
        found.setdefault(system, {})[view] = Measured(part["queries"].to_pylist(), scores, part["bas"].to_numpy())
    return found
