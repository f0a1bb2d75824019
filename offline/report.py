"""What a folder of examples holds: counts, how often each field is there, how often the target can be copied."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from offline.embedder import TEXT_FIELDS
from offline.examples import ExampleSettings
from offline.prepare import Prepared
from offline.safety_labels import SafetyLabels

_LISTS = ("anchors", "histories", "personal")
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class SplitReport:
    """One split. Shares are of its clicks.

    Attributes:
        rows: by kind and source.
        present: share of clicks that have the field.
        copyable: share of clicks whose target stands in the field, letter case aside; `any` in one of the three.
        photo_new: share of clicks on videos of that very day.
        distinct_targets: different clicked queries.
    """

    rows: dict[str, int]
    present: dict[str, float]
    copyable: dict[str, float]
    photo_new: float
    distinct_targets: int


@dataclass(frozen=True, slots=True)
class ExamplesReport:
    """The whole folder, with what it was made with."""

    splits: dict[str, SplitReport]
    videos: int
    queries: int
    unsafe_by_rule: int
    unsafe_by_review: int
    settings: dict[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """A table for people."""
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
    folder: Path, prepared: Prepared, labels: SafetyLabels, settings: ExampleSettings, seconds: float
) -> ExamplesReport:
    """Reads back what was written and counts it."""
    return ExamplesReport(
        splits={name: _describe_split(folder / f"examples_{name}.parquet") for name in SPLITS},
        videos=prepared.logs.num_photos,
        queries=len(prepared.logs.queries),
        unsafe_by_rule=int(labels.by_rule.sum()),
        unsafe_by_review=int(labels.by_review(prepared.logs.last_day).sum()),
        settings={"examples": asdict(settings), "evidence": asdict(prepared.settings)},
        seconds=round(seconds, 1),
    )


def _describe_split(path: Path) -> SplitReport:
    table = pq.read_table(path, columns=["kind", "source", "target", *TEXT_FIELDS, "summary", *_LISTS, "photo_new"])
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
    for name in _LISTS:
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
