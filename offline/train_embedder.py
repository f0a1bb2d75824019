"""`onebar offline embedder`: train, measure by stage, tune the settings of the evidence, write the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.embedder.build import Trainee, TransformerTrainee, build_embedder, new_static
from offline.embedder.folder import write_tuned
from offline.embedder.relations import read_relations
from offline.embedder.training import TrainingSettings
from offline.embedder.transformer import open_model
from offline.embedder.vectors import Embedder
from offline.errors import SettingsError
from offline.evidence.tuning import lines_of, tune_evidence
from offline.logs.coded import Logs

REPORT_FILE = "report.json"
_HELD_OUT_DAYS = 2


@dataclass(frozen=True, slots=True)
class StartModel:
    """A local model of sentence-transformers to start from.

    Attributes:
        path: its folder.
        query_prompt: what it reads before each query.
        frozen: use it as it is.
    """

    path: Path
    query_prompt: str = ""
    frozen: bool = False


def train_embedder(
    logs: Logs,
    out: Path,
    settings: TrainingSettings,
    start: StartModel | None = None,
    *,
    all_days: bool = False,
    with_unclicked: bool = False,
    say: Callable[[str], object] = print,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train an embedder on all days but the last two and write its folder with its report.

    Args:
        logs: the log tables.
        out: the folder of the embedder.
        settings: how it is trained.
        start: the model of the transformer kind; None trains the static kind.
        all_days: train again on all days when the settings of the evidence are tuned.
        with_unclicked: use queries that were shown on a video and not clicked as hard negatives.
        say: called with each line of the summary.
        show_progress: show progress bars.

    Returns:
        The report.

    Raises:
        SettingsError: the logs have too few days or clicks.
    """
    valid_day = logs.last_day + 1 - _HELD_OUT_DAYS
    if valid_day < 1:
        raise SettingsError(
            f"the logs end on day {logs.last_day}; an embedder needs at least one day of training before the "
            f"{_HELD_OUT_DAYS} days that are held out: give logs of more days"
        )
    relations = read_relations(logs, with_unclicked=with_unclicked)

    def build(before_day: int, measured_day: int | None) -> tuple[Embedder, dict[str, Any]]:
        def new() -> Trainee:
            if start is None:
                return new_static(relations, before_day, settings)
            dimension = settings.dimensions[0]
            return TransformerTrainee(open_model(start.path, dimension), dimension, start.query_prompt)

        return build_embedder(
            relations,
            new,
            out,
            before_day,
            settings,
            measured_day=measured_day,
            frozen=start is not None and start.frozen,
            say=say,
            show_progress=show_progress,
        )

    embedder, report = build(valid_day, valid_day + 1)
    tuning = tune_evidence(logs, embedder, valid_day, show_progress=show_progress)
    report["evidence"] = tuning.report
    lines_of(tuning.report, say)
    if all_days:
        embedder, report["all_days"] = build(logs.last_day + 1, None)
    write_tuned(out, tuning.tuned)
    report["version"] = embedder.version
    (out / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report
