"""The step that makes summaries, for videos that have none in the tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.build.contents import folder_stamp, table_hashes, terms_hash
from offline.build.graph import PENDING, Step

FOLDER = "summaries"
REPLACED = ("videos", "reviews")
"""The log tables that the step writes, and that later steps read in place of those of the logs."""


@dataclass(frozen=True, slots=True)
class SummaryChoices:
    """Where summaries come from.

    Attributes:
        files: the folder with the video files; None if there are none.
        endpoint: URL of an OpenAI-compatible API; None composes every summary.
        model: the multimodal model of the endpoint.
        price: dollars for a million tokens of prompts and of answers.
        max_cost: dollars that a run may cost.
    """

    files: Path | None = None
    endpoint: str | None = None
    model: str | None = None
    price: tuple[float, float] | None = None
    max_cost: float = 10.0

    @property
    def wanted(self) -> bool:
        """Whether there is anything to make summaries from."""
        return self.files is not None or self.endpoint is not None


def summary_step(dataset: str, choices: SummaryChoices, terms: Path | None, say: Callable[[str], None]) -> Step:
    """Return the step. It works in OUT/summaries, whose journal keeps what is done from build to build."""
    tables = table_hashes(dataset, {})
    files = {"files": folder_stamp(choices.files)} if choices.files else {}
    read = {name: value for name, value in tables.items() if name in (*REPLACED, "logs")}

    def run(out: Path) -> Mapping[str, Any]:
        report = _summarize(dataset, out / FOLDER, choices, terms, say)
        return {
            "videos": report.videos,
            "sources": report.sources,
            "file_faults": report.file_faults,
            "unsafe_by_terms": report.unsafe_by_terms,
            "to_review": report.to_review,
            PENDING: report.pending + sum(report.request_faults.values()),
        }

    return Step(
        FOLDER,
        run,
        tuple(f"{FOLDER}/{name}.parquet" for name in REPLACED),
        inputs={**read, **files, **terms_hash(dataset, terms)},
        after=("tables",),
        settings={"endpoint": choices.endpoint, "model": choices.model},
        code=("offline/summaries", "offline/logs", "evidence"),
        libraries=("av", "pillow", "pyarrow", "rapidocr"),
        in_place=True,
    )


def _summarize(dataset: str, out: Path, choices: SummaryChoices, terms: Path | None, say: Callable[[str], None]) -> Any:
    from offline.summaries.endpoint import KEY_VARIABLE, EndpointSettings
    from offline.summaries.job import JobSettings, ModelSettings, summarize
    from offline.summaries.spending import Prices

    asked = None
    if choices.endpoint is not None and choices.model is not None and choices.price is not None:
        key = os.environ.get(KEY_VARIABLE, "").strip()
        endpoint = EndpointSettings(url=choices.endpoint, model=choices.model, key=key)
        asked = ModelSettings(endpoint, Prices(*choices.price), choices.max_cost)
    settings = JobSettings(files=choices.files, model=asked, terms=terms)
    return summarize(Path(dataset), out, settings, say)
