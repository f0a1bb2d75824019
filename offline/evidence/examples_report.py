"""The report on a folder of examples: counts, how often each field is present, how often the target can be copied."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from evidence.rows import EVIDENCE_COLUMNS, QUERY_FIELDS, TEXT_FIELDS
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.examples import ExampleSettings
from offline.evidence.safety_labels import SafetyLabels

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class SplitReport:
    """One split. Shares are of its clicks.

    Attributes:
        rows: the number of rows by kind and source.
        present: the share of clicks that have the field.
        copyable: the share of clicks whose target is an entry of the field (case-folded); `any`: of one of the three.
        photo_new: the share of clicks on videos created on the same day.
        distinct_targets: the number of different clicked queries.
    """

    rows: dict[str, int]
    present: dict[str, float]
    copyable: dict[str, float]
    photo_new: float
    distinct_targets: int


@dataclass(frozen=True, slots=True)
class ExamplesReport:
    """The report on a whole folder, with the settings that made it."""

    splits: dict[str, SplitReport]
    videos: int
    queries: int
    unsafe_by_rule: int
    unsafe_by_review: int
    settings: dict[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """Return a table to print."""
        names = list(self.splits)
        lines = [
            f"{self.videos:,} videos ({self.unsafe_by_rule:,} unsafe by rule, {self.unsafe_by_review:,} by review), "
            f"{self.queries:,} distinct queries, {self.seconds:.0f} s",
            _line("", names),
        ]
        lines.extend(
            _line(f"rows {key}", [f"{split.rows.get(key, 0):,}" for split in self.splits.values()])
            for key in sorted({key for split in self.splits.values() for key in split.rows})
        )
        lines.append(_line("distinct targets", [f"{s.distinct_targets:,}" for s in self.splits.values()]))
        lines.append(_line("new video", [f"{s.photo_new:.3f}" for s in self.splits.values()]))
        for title, attribute in (("has", "present"), ("target in", "copyable")):
            for name in getattr(self.splits[names[0]], attribute):
                values = [f"{getattr(split, attribute)[name]:.3f}" for split in self.splits.values()]
                lines.append(_line(f"{title} {name}", values))
        return "\n".join(lines)


def describe(
    folder: Path, embedded: EmbeddedLogs, labels: SafetyLabels, settings: ExampleSettings, seconds: float
) -> ExamplesReport:
    """Read the written examples and count them."""
    return ExamplesReport(
        splits={name: _describe_split(folder / f"examples_{name}.parquet") for name in SPLITS},
        videos=embedded.logs.num_photos,
        queries=len(embedded.logs.queries),
        unsafe_by_rule=int(labels.by_rule.sum()),
        unsafe_by_review=int(labels.by_review(embedded.logs.last_day).sum()),
        settings={"examples": asdict(settings), "evidence": asdict(embedded.settings)},
        seconds=round(seconds, 1),
    )


def _describe_split(path: Path) -> SplitReport:
    table = pq.read_table(path, columns=["kind", "source", "target", *EVIDENCE_COLUMNS, "photo_new"])
    rows: dict[str, int] = {}
    for group in table.group_by(["kind", "source"]).aggregate([([], "count_all")]).to_pylist():
        rows[f"{group['kind']} {group['source']}"] = group["count_all"]
    clicks = table.filter(pc.equal(table["kind"], "click"))
    count = max(clicks.num_rows, 1)
    present = {
        name: pc.sum(pc.greater(pc.utf8_length(pc.fill_null(clicks[name], "")), 0)).as_py() or 0
        for name in (*TEXT_FIELDS, "summary")
    }
    targets = [target.casefold() for target in clicks["target"].to_pylist()]
    copyable = [False] * len(targets)
    found: dict[str, int] = {}
    for name in QUERY_FIELDS:
        lists = clicks[name].to_pylist()
        present[name] = sum(map(bool, lists))
        hits = [target in map(str.casefold, queries) for target, queries in zip(targets, lists, strict=True)]
        found[name] = sum(hits)
        copyable = [a or b for a, b in zip(copyable, hits, strict=True)]
    found["any"] = sum(copyable)
    return SplitReport(
        rows=rows,
        present={name: round(value / count, 4) for name, value in present.items()},
        copyable={name: round(value / count, 4) for name, value in found.items()},
        photo_new=round((pc.sum(clicks["photo_new"]).as_py() or 0) / count, 4),
        distinct_targets=len(set(targets)),
    )


def _line(label: str, values: list[str]) -> str:
    return f"{label:<22}" + "".join(f"{value:>12}" for value in values)
