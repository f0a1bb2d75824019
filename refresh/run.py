"""One refresh: the steps of a day, the verdict of the gate, the promotion, the record."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from refresh import alerts
from refresh.commands import Runner
from refresh.config import Config
from refresh.errors import ConfigError, RefreshError, StepError
from refresh.files import locked, now, read_json
from refresh.journal import Journal
from refresh.record import RECORD, Outcome, Record
from refresh.serving import JOURNAL, Serving, find_serving
from refresh.steps import (
    BUILD,
    EVENTS,
    EXPORT,
    GATE,
    Places,
    Step,
    events_report_of,
    last_stage,
    promotion,
    steps_of,
)
from refresh.textfile import write_metrics

_TABLES = "tables.json"

Say = Callable[[str], object]


def refresh(config: Config, day: int, say: Say, runner: Runner | None = None) -> Record:
    """Refresh the model with the logs up to a day.

    A day that was interrupted is continued; a day that has ended is not done again.

    Args:
        config: the settings.
        day: the log day whose events are new.
        say: gets one line of progress at a time.
        runner: runs the commands; that of the settings when None.

    Returns:
        The record, whose outcome is `promoted` or `refused`.

    Raises:
        RefreshError: a step failed, the settings do not fit, a file cannot be read or written, or another refresh is
            under way. Alerts are sent for all but the last one. They are recorded, unless what is served is unknown.
    """
    places = Places(config.state, day)
    with locked(config.state) as lock:
        ended = read_json(places.folder / RECORD)
        if ended is not None and ended["outcome"] == "promoted":
            # Its bundle may be served, and the next days began with it.
            say(f"day {day} was promoted before, and is not done again: {'; '.join(ended['reasons'])}")
            return Record(**{**ended, "reasons": tuple(ended["reasons"])})
        runner = replace(runner or Runner(config.nice, config.threads), lock=lock)
        try:
            journal = Journal.open(places.folder, day, last_stage(config), partial(_begin, config, places))
        except (RefreshError, OSError) as error:
            _alert(config, day, "failed", None, str(error), say)
            raise _as_refresh_error(error) from error
        try:
            decision = _candidate(config, places, journal, runner, say)
            outcome = _promote(config, places, journal, runner, say, decision)
        except (RefreshError, OSError) as error:
            step = error.step if isinstance(error, StepError) else None
            record = _record(config, places, journal, "failed", (str(error),), step)
            _finish(config, record, places, say)
            raise _as_refresh_error(error) from error
        reasons = (_summary(decision),) if outcome == "promoted" else tuple(decision["reasons"])
        record = _record(config, places, journal, outcome, reasons, None)
        _finish(config, record, places, say)
        return record


def plan(config: Config, day: int) -> list[Step]:
    """Return the steps of a day as they would run now, without `promote`, and write nothing.

    Raises:
        RefreshError: the settings do not fit what is there.
    """
    places = Places(config.state, day)
    serving, since, late = _begin(config, places)
    return steps_of(config, serving, places, since, late)


def _begin(config: Config, places: Places) -> tuple[Serving, int | None, list[int]]:
    """Return what is served, `since` if the build trained the embedder, and `late` (`steps.steps_of`)."""
    late = _late_days(config, places)
    tables = read_json(places.build / _TABLES) if config.embedder == "build" else None
    since = None if tables is None else min(int(tables["last_day"]) + 1, places.day, *late)
    return find_serving(config), since, late


def _late_days(config: Config, places: Places) -> list[int]:
    """Return the days before that a refresh has exported while feedback on their last answers could still come."""
    if config.events is None:
        return []
    first = max(0, places.day - math.ceil(config.events.window_hours / 24))
    journals = {day: read_json(Places(config.state, day).folder / JOURNAL) for day in range(first, places.day)}
    return [day for day, journal in journals.items() if journal is not None and EVENTS in journal["steps"]]


def _candidate(config: Config, places: Places, journal: Journal, runner: Runner, say: Say) -> dict[str, Any]:
    """Run the steps up to the gate and return its decision."""
    for step in steps_of(config, journal.serving, places, journal.since, journal.late):
        # Within the step, so that a build with faults is made again.
        check = partial(_check_build, config, places, journal.serving) if step.name == BUILD else None
        _do(step, journal, runner, places, say, check)
    decision: dict[str, Any] | None = read_json(places.decision)
    if decision is None:
        raise RefreshError(f"{places.decision} is missing; remove {places.folder} to refresh the day again")
    return decision


def _promote(
    config: Config, places: Places, journal: Journal, runner: Runner, say: Say, decision: dict[str, Any]
) -> Outcome:
    if decision["verdict"] != "promote":
        return "refused"
    _do(promotion(config, places, f"refresh of day {places.day}: {_summary(decision)}"), journal, runner, places, say)
    return "promoted"


def _do(
    step: Step,
    journal: Journal,
    runner: Runner,
    places: Places,
    say: Say,
    check: Callable[[], object] | None = None,
) -> None:
    if journal.is_done(step):
        say(f"{step.name:<12} done before")
        return
    say(f"{step.name:<12} onebar {' '.join(step.command[:2])} …")

    def work() -> None:
        if step.continues is not None and not journal.was_broken_off():
            shutil.rmtree(step.continues, ignore_errors=True)  # of other data or settings
        runner.run(step, places.folder / f"{step.name}.log")
        if check is not None:
            check()
        for name, path in step.keeps.items():
            shutil.copy(path, places.folder / name)

    journal.run(step, work)
    say(f"{step.name:<12} {journal.seconds()[step.name]:,.0f} s")


def _check_build(config: Config, places: Places, serving: Serving) -> None:
    """Check that the logs end on the day of the refresh, and that the embedder of the settings is the served one.

    Else vectors would be published that the served bundle cannot use.

    Raises:
        ConfigError: one of them is not so.
    """
    tables = read_json(places.build / _TABLES)
    if tables["last_day"] != places.day:
        raise ConfigError(
            f"the logs end on day {tables['last_day']} and the refresh is of day {places.day}, which must be the last"
            f" one: the candidate is measured on it. Refresh day {tables['last_day']}, or add what is missing"
        )
    if config.embedder != "serving":
        folder = places.build / "embedder" if config.embedder == "build" else Path(config.embedder)
        named = (read_json(folder / "embedder.json") or {}).get("version")
        manifest = read_json(Path(serving.bundle) / "manifest.json")
        served = (manifest.get("embedder") or {}).get("version")
        if named != served:
            raise ConfigError(
                f"{folder} has the embedder {named} and the served bundle {served}; promote a bundle that was exported"
                f" with --embedder {folder} first, or set `embedder: serving`"
            )


def _summary(decision: dict[str, Any]) -> str:
    found = decision["measures"]["hr"]
    low, high = found["interval"]
    return (
        f"HR@8 {found['serving']:.4f} to {found['candidate']:.4f} ({found['difference']:+.4f}, {low:+.4f} to"
        f" {high:+.4f}) on {decision['clicks']:,} clicks"
    )


def _record(
    config: Config, places: Places, journal: Journal, outcome: Outcome, reasons: tuple[str, ...], step: str | None
) -> Record:
    manifest = read_json(places.bundle / "manifest.json") if EXPORT in journal.steps else None
    candidate = None
    if manifest is not None:
        checkpoint = str(places.folder / last_stage(config))
        candidate = {
            "bundle": str(places.bundle), "bundle_id": manifest["model_version"], "checkpoint": checkpoint,
        }  # fmt: skip
    late = [(day, read_json(places.folder / events_report_of(places, day))) for day in journal.late]
    return Record(
        day=places.day,
        outcome=outcome,
        reasons=reasons,
        step=step,
        serving=asdict(journal.serving),
        candidate=candidate,
        decision=read_json(places.decision) if GATE in journal.steps else None,
        events=read_json(places.folder / events_report_of(places, places.day)),
        seconds=dict(journal.seconds()),
        began=journal.began,
        ended=now(),
        late_events={str(day): report for day, report in late if report is not None},
    )


def _finish(config: Config, record: Record, places: Places, say: Say) -> None:
    """Send alerts, and write the record and the metrics, unless the day has ended in this way before."""
    before = read_json(places.folder / RECORD)
    if before is not None and {**before, "ended": ""} == {**_plain(record), "ended": ""} and record.outcome != "failed":
        say(f"day {record.day} was {record.outcome} before: {'; '.join(record.reasons)}")
        return
    reason = "; ".join(record.reasons)
    if record.outcome != "promoted":  # first of all: a full disk must not keep it back
        _alert(config, record.day, record.outcome, record.step, reason, say)
    record.write(places.folder, config.state)
    if record.outcome != "failed":
        shutil.rmtree(places.packed, ignore_errors=True)
    if config.metrics_file is not None:
        try:
            write_metrics(config.metrics_file, record, config.state)
        except OSError as error:
            say(f"the metrics file {config.metrics_file} cannot be written: {error.strerror}")
    say(f"day {record.day} {record.outcome}: {reason}")


def _alert(config: Config, day: int, outcome: Outcome, step: str | None, reason: str, say: Say) -> None:
    for fault in alerts.send(config.alert, {"day": day, "outcome": outcome, "step": step, "reason": reason}):
        say(fault)


def _as_refresh_error(error: RefreshError | OSError) -> RefreshError:
    return error if isinstance(error, RefreshError) else RefreshError(str(error))


def _plain(record: Record) -> dict[str, Any]:
    """Return the record as JSON gives it back."""
    document = asdict(record)
    document["reasons"] = list(record.reasons)
    return document
