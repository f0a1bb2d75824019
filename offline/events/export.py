"""The event log as the tables `impressions` and `exposures`, one file a day, with a report of what was left out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from offline.errors import SettingsError
from offline.events.joining import COUNTED, LEFT_OUT, Joined, JoinSettings, join
from offline.events.staging import ANSWERS, FEEDBACK, KINDS, OFFERS, LineCounts, stage
from offline.logs.engine import Engine
from offline.logs.schema import TABLES

EXPORTED = ("impressions", "exposures")
REPORT_FILE = "events_report.json"
_ORDER = {"impressions": ("ts", "impression_id"), "exposures": ("impression_id", "position", "query")}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What became of an event log.

    Attributes:
        lines: what the lines were (`staging.LineCounts`).
        answers: distinct answers by outcome.
        feedback: feedback by outcome.
        counted: counted feedback by kind of event.
        counted_by_key: counted feedback by the id of its API key; "" without a key.
        days: by log day, the rows of each table.
    """

    lines: LineCounts
    answers: Mapping[str, int]
    feedback: Mapping[str, int]
    counted: Mapping[str, int]
    counted_by_key: Mapping[str, int]
    days: Mapping[int, Mapping[str, int]]

    def to_text(self) -> str:
        """Return the report as text."""
        rows = [f"{'lines':<10}{name:<20}{value:>12,}" for name, value in asdict(self.lines).items()
                if value is not None and not name.endswith("_ms")]  # fmt: skip
        rows += [f"{'answers':<10}{name:<20}{value:>12,}" for name, value in self.answers.items()]
        rows += [f"{'feedback':<10}{name:<20}{value:>12,}" for name, value in self.feedback.items()]
        rows += [f"{'counted':<10}{name:<20}{value:>12,}" for name, value in self.counted.items()]
        for day, tables in self.days.items():
            rows += [f"{f'day {day}':<10}{name:<20}{value:>12,}" for name, value in tables.items()]
        return "\n".join(rows)


def export(
    lines: Iterable[bytes],
    out: Path,
    engine: Engine,
    day_zero: int,
    settings: JoinSettings,
    viewers: pa.Table | None = None,
) -> ExportReport:
    """Write `impressions/day-D.parquet` and `exposures/day-D.parquet` for each exported day, and the report.

    The files of a day are replaced; those of other days are not touched. The same events give the same bytes.

    Args:
        lines: of the event log.
        out: a folder of log tables.
        engine: DuckDB.
        day_zero: days from 1970 to log day 0.
        settings: what counts.
        viewers: user ids behind pseudonyms; the ids of the events are used as they are when None.

    Raises:
        SettingsError: `out` has a table as one file, the log has no answer of the wanted day, or one before day 0.
    """
    for name in EXPORTED:
        if (out / f"{name}.parquet").is_file():
            raise SettingsError(
                f"{out}/{name}.parquet is one file, so no day can be added to it; move it to {out}/{name}/old.parquet"
            )
    with tempfile.TemporaryDirectory(prefix="onebar-events-") as staging:
        counts = stage(lines, Path(staging), day_zero, settings.day)
        answers, offers, feedback = (
            engine.backend.read_parquet(f"{staging}/{name}.parquet") for name in (ANSWERS, OFFERS, FEEDBACK)
        )
        joined = join(engine, answers, offers, feedback, viewers, settings)
        days = _days(joined, engine)
        if settings.day is not None and not days:
            raise SettingsError(f"the events have no answer of day {settings.day} with a viewer; nothing was written")
        if days and days[0] < 0:
            raise SettingsError(f"the events have answers of day {days[0]}; name a first day that is not after them")
        written = {day: _write_day(joined, day, out, engine) for day in days}
        report = _report(counts, joined, written, engine)
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / REPORT_FILE, lambda path: path.write_text(json.dumps(asdict(report), indent=2) + "\n", "utf-8"))
    return report


def _days(joined: Joined, engine: Engine) -> list[int]:
    days: list[int] = engine.fetch(joined.impressions.select("day").distinct().order_by("day"))["day"].to_pylist()
    return days


def _write_day(joined: Joined, day: int, out: Path, engine: Engine) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in EXPORTED:
        table: ir.Table = getattr(joined, name)
        rows = table.filter(table.day == day).select(*TABLES[name].schema.names).order_by(*_ORDER[name])
        (out / name).mkdir(parents=True, exist_ok=True)
        path = out / name / f"day-{day:05d}.parquet"
        _replace(path, partial(engine.save, rows))
        counts[name] = pq.read_metadata(path).num_rows
    return counts


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there, so that readers see the old one or the new one."""
    aside = path.with_name(f"{path.name}.partial")
    write(aside)
    aside.replace(path)


def _report(counts: LineCounts, joined: Joined, days: Mapping[int, Mapping[str, int]], engine: Engine) -> ExportReport:
    answers = _tally(joined.answers, "outcome", engine)
    feedback = _tally(joined.feedback, "outcome", engine)
    counted = joined.feedback.filter(joined.feedback.outcome == COUNTED)
    kinds = _tally(counted, "event", engine)
    return ExportReport(
        lines=counts,
        answers={name: answers.get(name, 0) for name in ("exported", "reused_request", "other_day", "no_viewer")},
        feedback={name: feedback.get(name, 0) for name in (COUNTED, *LEFT_OUT)},
        counted={kind: kinds.get(kind, 0) for kind in KINDS},
        counted_by_key=_tally(counted.mutate(key_id=counted.key_id.fill_null("")), "key_id", engine),
        days=days,
    )


def _tally(rows: ir.Table, column: str, engine: Engine) -> dict[str, int]:
    counted = engine.fetch(rows.group_by(column).agg(rows=rows.count()).order_by(ibis.asc(column)))
    return dict(zip(counted[column].to_pylist(), counted["rows"].to_pylist(), strict=True))
