"""The event log as the tables `impressions` and `exposures`, one file a day, with a report of what was left out."""

from __future__ import annotations

import json
import os
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
from offline.logs.faults import cast_columns
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
        kept: by log day, how many of these rows are of the files before, since the events no longer have their
            answers; only days that have such rows.
    """

    lines: LineCounts
    answers: Mapping[str, int]
    feedback: Mapping[str, int]
    counted: Mapping[str, int]
    counted_by_key: Mapping[str, int]
    days: Mapping[int, Mapping[str, int]]
    kept: Mapping[int, Mapping[str, int]]

    def to_text(self) -> str:
        """Return the report as text."""
        rows = [f"{'lines':<10}{name:<20}{value:>12,}" for name, value in asdict(self.lines).items()
                if value is not None and not name.endswith("_ms")]  # fmt: skip
        rows += [f"{'answers':<10}{name:<20}{value:>12,}" for name, value in self.answers.items()]
        rows += [f"{'feedback':<10}{name:<20}{value:>12,}" for name, value in self.feedback.items()]
        rows += [f"{'counted':<10}{name:<20}{value:>12,}" for name, value in self.counted.items()]
        for day, tables in self.days.items():
            rows += [f"{f'day {day}':<10}{name:<20}{value:>12,}" for name, value in tables.items()]
        for day, tables in self.kept.items():
            rows += [f"{f'day {day}':<10}{f'{name} kept':<20}{value:>12,}" for name, value in tables.items()]
        return "\n".join(rows)


def export(
    lines: Iterable[bytes],
    out: Path,
    engine: Engine,
    day_zero: int,
    settings: JoinSettings,
    viewers: pa.Table | None = None,
    keep_rows: bool = False,
) -> ExportReport:
    """Write `impressions/day-D.parquet` and `exposures/day-D.parquet` for each exported day, and the report.

    The files of a day are replaced, each in one step; those of other days are not touched. The same events give the
    same bytes.

    Args:
        lines: of the event log.
        out: a folder of log tables.
        engine: DuckDB.
        day_zero: days from 1970 to log day 0.
        settings: what counts.
        viewers: user ids behind pseudonyms; the ids of the events are used as they are when None.
        keep_rows: rows of the files before stay where the events no longer have their answers, as in a Redis Stream
            that was trimmed since. The report counts them.

    Raises:
        TableError: with `keep_rows`, a file before cannot be read.
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
            if not (keep_rows and _file(out, EXPORTED[0], settings.day).is_file()):
                raise SettingsError(
                    f"the events have no answer of day {settings.day} with a viewer; nothing was written"
                )
            days = [settings.day]
        if days and days[0] < 0:
            raise SettingsError(f"the events have answers of day {days[0]}; name a first day that is not after them")
        written: dict[int, Mapping[str, int]] = {}
        kept: dict[int, Mapping[str, int]] = {}
        for day in days:
            written[day], old = _write_day(joined, day, out, engine, keep_rows)
            if any(old.values()):
                kept[day] = old
        report = _report(counts, joined, written, kept, engine)
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / REPORT_FILE, lambda path: path.write_text(json.dumps(asdict(report), indent=2) + "\n", "utf-8"))
    return report


def _days(joined: Joined, engine: Engine) -> list[int]:
    days: list[int] = engine.fetch(joined.impressions.select("day").distinct().order_by("day"))["day"].to_pylist()
    return days


def _file(out: Path, name: str, day: int) -> Path:
    return out / name / f"day-{day:05d}.parquet"


def _write_day(
    joined: Joined, day: int, out: Path, engine: Engine, keep_rows: bool
) -> tuple[dict[str, int], dict[str, int]]:
    """Return by table the rows of the files, and how many of them were kept."""
    counts: dict[str, int] = {}
    kept: dict[str, int] = {}
    for name in EXPORTED:
        table: ir.Table = getattr(joined, name)
        rows = table.filter(table.day == day).select(*TABLES[name].schema.names)
        path = _file(out, name, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        if keep_rows and path.is_file():
            with engine.reading(str(path)):
                old = _without_answers(joined, name, path, engine)
                kept[name] = engine.count(old)
            rows = rows.union(old)
        _replace(path, partial(engine.save, rows.order_by(*_ORDER[name])))
        counts[name] = pq.read_metadata(path).num_rows
    return counts, kept


def _without_answers(joined: Joined, name: str, path: Path, engine: Engine) -> ir.Table:
    """Return the rows of a file whose answers are not exported now. An answer without queries is an impression too."""
    stored = cast_columns(engine.backend.read_parquet(path), name, str(path))
    return stored.select(*TABLES[name].schema.names).anti_join(joined.impressions, "impression_id")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and move it there: after a crash there is the old one or the new one."""
    aside = path.with_name(f"{path.name}.partial")
    write(aside)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)


def _report(
    counts: LineCounts,
    joined: Joined,
    days: Mapping[int, Mapping[str, int]],
    kept: Mapping[int, Mapping[str, int]],
    engine: Engine,
) -> ExportReport:
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
        kept=kept,
    )


def _tally(rows: ir.Table, column: str, engine: Engine) -> dict[str, int]:
    counted = engine.fetch(rows.group_by(column).agg(rows=rows.count()).order_by(ibis.asc(column)))
    return dict(zip(counted[column].to_pylist(), counted["rows"].to_pylist(), strict=True))
