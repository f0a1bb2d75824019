"""What the folder of a plan has so far: the answers of finished runs by group, their curves, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.ablations.answers import Views, read_answers
from benchmarks.ablations.config import AblationConfig
from benchmarks.ablations.curves import Point, evaluations, losses
from benchmarks.ablations.facts import ANSWERS, RESULT, Workplace, is_finished
from benchmarks.ablations.plan import STAGES, Run, checkpoint_folder, run_folder
from benchmarks.ablations.variants import ALL_EVIDENCE, BASELINES, TEACHERS
from evaluation.inputs import Example


@dataclass(frozen=True)
class Results:
    """The finished runs of a plan.

    Attributes:
        place: the configuration, and the folder of the runs.
        runs: those that the parts of the report need.
    """

    place: Workplace
    runs: Sequence[Run]

    @property
    def config(self) -> AblationConfig:
        """The configuration of the plan."""
        return self.place.config

    @cached_property
    def finished(self) -> tuple[Run, ...]:
        """The runs that are done and measured."""
        return tuple(run for run in self.runs if is_finished(run, self.place))

    @property
    def missing(self) -> list[str]:
        """The names of the other runs."""
        return [run.name for run in self.runs if run not in self.finished]

    @property
    def examples(self) -> list[Example]:
        """The clicks that were measured."""
        return self.place.clicks

    @cached_property
    def photos(self) -> list[str]:
        """The videos of the clicks."""
        return [example.photo_id for example in self.examples]

    @cached_property
    def groups(self) -> dict[str, list[Views]]:
        """The answers of trained and given models by group, one for each seed."""
        groups: dict[str, list[Views]] = {}
        for run in self.finished:
            if run.action in (*STAGES, "given"):
                # Stage I that is trained here is also a row of Table 4, block 1.
                for name in {run.group, ALL_EVIDENCE} if run.name == ALL_EVIDENCE else {run.group}:
                    groups.setdefault(name, []).append(self._answers(run)[run.name])
        return groups

    @cached_property
    def baselines(self) -> Mapping[str, Views]:
        """The answers of the baselines by name."""
        return next((self._answers(run) for run in self.finished if run.action == BASELINES), {})

    @cached_property
    def teachers(self) -> list[Mapping[str, Views]]:
        """The answers of the teachers by construction, of each seed."""
        return [self._answers(run) for run in self.finished if run.action == TEACHERS]

    def curves(self, group: str) -> list[tuple[Sequence[Point], Sequence[Point]]]:
        """Return the evaluations and the losses of each finished run of a group."""
        folders = [
            checkpoint_folder(run.name, self.config, self.place.work) for run in self.finished if run.group == group
        ]
        return [(evaluations(folder), losses(folder)) for folder in folders]

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Yield the results of the finished runs."""
        for run in self.finished:
            yield json.loads((run_folder(self.place.work, run.name) / RESULT).read_text(encoding="utf-8"))

    def _answers(self, run: Run) -> dict[str, Any]:
        return dict(read_answers(run_folder(self.place.work, run.name) / ANSWERS))
