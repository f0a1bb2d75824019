"""The files of the folder OUT, and the report of a run."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offline.logs.schema import TABLES
from offline.logs.tables import write_table
from offline.summaries.outcome import Outcome
from offline.summaries.safety import SafetyResult, waiting_lines
from offline.summaries.videos import Video

SUMMARIES, REPORT, WAITING = "summaries.parquet", "report.json", "to_review.tsv"

_SCHEMA = pa.schema(
    [
        pa.field("photo_id", pa.string(), nullable=False),
        pa.field("summary", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("file_fault", pa.string()),
        pa.field("request_fault", pa.string()),
        pa.field("pending", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did. Counts are of videos where nothing else is said.

    Attributes:
        videos: all of them.
        sources: by where the summary comes from: input, model, composed, none.
        file_faults: by kind.
        request_faults: by kind.
        pending: the model is still to be asked.
        stopped: why no further request was made, "" if all were made.
        requests: counts of the endpoint: requests, answers, refusals, retries by kind.
        dollars: what the run cost.
        limit: dollars that it could cost.
        unsafe_by_terms, unsafe_by_grades: new safety labels.
        to_review: the model refused or has a concern, or a term was found, and no person has judged it.
        unknown_grades: grades of photo ids that the input does not have.
        seconds: of the whole run.
    """

    videos: int
    sources: dict[str, int]
    file_faults: dict[str, int]
    request_faults: dict[str, int]
    pending: int
    stopped: str
    requests: dict[str, int]
    dollars: float
    limit: float
    unsafe_by_terms: int
    unsafe_by_grades: int
    to_review: int
    unknown_grades: int
    seconds: float

    def to_text(self) -> str:
        """Return lines to print."""
        lines = [
            f"{self.videos:,} videos in {self.seconds:,.1f} s: {_listed(self.sources)}",
            f"safety: {self.unsafe_by_terms:,} unsafe by terms in their content, {self.unsafe_by_grades:,} by grades, "
            f"{self.to_review:,} to review",
        ]
        if self.file_faults:
            lines.append(f"files that could not be used: {_listed(self.file_faults)}")
        if self.requests:
            lines.append(f"endpoint: {_listed(self.requests)}; ${self.dollars:,.4f} of at most ${self.limit:,.2f}")
        if self.request_faults:
            lines.append(f"failed requests, to be made again by the next run: {_listed(self.request_faults)}")
        if self.pending:
            lines.append(f"{self.pending:,} videos have a composed summary for now: {self.stopped}")
        if self.unknown_grades:
            lines.append(f"{self.unknown_grades:,} graded videos are not in the input; their grades were left out")
        return "\n".join(lines)


def make_report(
    outcomes: Sequence[Outcome],
    safety: SafetyResult,
    requests: Counter[str],
    stopped: str,
    dollars: float,
    limit: float,
    seconds: float,
) -> Report:
    """Count the outcomes of a run."""
    return Report(
        videos=len(outcomes),
        sources=_counts(outcome.source for outcome in outcomes),
        file_faults=_counts(outcome.file_fault for outcome in outcomes),
        request_faults=_counts(outcome.request_fault for outcome in outcomes),
        pending=sum(outcome.pending for outcome in outcomes),
        stopped=stopped,
        requests=dict(sorted(requests.items())),
        dollars=round(dollars, 6),
        limit=limit,
        unsafe_by_terms=safety.by_terms,
        unsafe_by_grades=safety.by_grades,
        to_review=len(safety.waiting),
        unknown_grades=safety.unknown,
        seconds=round(seconds, 2),
    )


def write_outputs(
    out: Path, table: Path, videos: Sequence[Video], outcomes: Sequence[Outcome], safety: SafetyResult, report: Report
) -> None:
    """Write the files of a run. A file that is replaced is replaced as a whole.

    Args:
        out: the folder.
        table: the input; if it follows the log schema, the tables `videos` and `reviews` are written, too.
        videos: the rows of the input.
        outcomes: of the same videos.
        safety: their labels.
        report: on the run.

    Raises:
        TableError: the input has the columns of the log schema, but its rows do not follow it.
    """
    made = {video.photo_id: outcome.summary or None for video, outcome in zip(videos, outcomes, strict=True)}
    columns: dict[str, list[Any]] = {
        "photo_id": list(made),
        "summary": list(made.values()),
        "source": [outcome.source for outcome in outcomes],
        "file_fault": [outcome.file_fault or None for outcome in outcomes],
        "request_fault": [outcome.request_fault or None for outcome in outcomes],
        "pending": [outcome.pending for outcome in outcomes],
    }
    pq.write_table(pa.table(columns, schema=_SCHEMA), out / f".{SUMMARIES}", compression="zstd")
    os.replace(out / f".{SUMMARIES}", out / SUMMARIES)
    if is_log_table(table):
        rows = pq.read_table(table)
        place = rows.column_names.index("summary")
        raw = [video.summary or outcome.summary or None for video, outcome in zip(videos, outcomes, strict=True)]
        write_table(out, "videos", rows.set_column(place, "summary", pa.array(raw, pa.string())))
        write_table(out, "reviews", safety.reviews)
    _write_text(out / WAITING, waiting_lines(safety.waiting))
    _write_text(out / REPORT, json.dumps(asdict(report), indent=2) + "\n")


def is_log_table(table: Path) -> bool:
    """Whether a table has all columns of the log table `videos`."""
    return table.suffix == ".parquet" and set(TABLES["videos"].schema.names) <= set(pq.read_schema(table).names)


def without_own_summaries(videos: Sequence[Video], out: Path) -> list[Video]:
    """Return the videos without the summaries that an earlier run into this folder has made.

    So a summary is refreshed when its content changes, even if the table `videos` of that run became the input.
    """
    if not (out / SUMMARIES).is_file():
        return list(videos)
    rows = pq.read_table(out / SUMMARIES, columns=["photo_id", "summary", "source"]).to_pylist()
    own = {row["photo_id"]: row["summary"] for row in rows if row["source"] in ("model", "composed")}
    return [
        replace(video, summary="") if video.summary and own.get(video.photo_id) == video.summary else video
        for video in videos
    ]


def _write_text(path: Path, text: str) -> None:
    hidden = path.with_name(f".{path.name}")
    hidden.write_text(text, encoding="utf-8")
    os.replace(hidden, path)


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value).items()))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
