"""One refresh: the steps of a day, the verdict of the gate, the promotion, the record."""

from __future__ import annotations

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
from refresh.serving import Serving, find_serving
from refresh.steps import BUILD, EVENTS_REPORT, EXPORT, GATE, Places, Step, last_stage, promotion, steps_of
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
        RefreshError: a step failed, the settings do not fit, or another refresh is under way. The first two are
            recorded, and alerts are sent.
    """
    places = Places(config.state, day)
    with locked(config.state) as lock:
        runner = replace(runner or Runner(config.nice, config.threads), lock=lock)
        # Outside of the attempt: without what is served there is nothing to record.
        journal = Journal.open(places.folder, day, last_stage(config), partial(_begin, config, places))
        try:
            decision = _candidate(config, places, journal, runner, say)
            outcome = _promote(config, places, journal, runner, say, decision)
        except RefreshError as error:
            step = error.step if isinstance(error, StepError) else None
            record = _record(config, places, journal, "failed", (str(error),), step)
            _finish(config, record, places, say)
            raise
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
    serving, since = _begin(config, places)
    return steps_of(config, serving, places, since)


def _begin(config: Config, places: Places) -> tuple[Serving, int | None]:
    """Return what is served, and the first day that the build has not seen if the build trained the embedder."""
    tables = read_json(places.build / _TABLES) if config.embedder == "build" else None
    since = None if tables is None else min(int(tables["last_day"]) + 1, places.day)
    return find_serving(config), since


def _candidate(config: Config, places: Places, journal: Journal, runner: Runner, say: Say) -> dict[str, Any]:
    """Run the steps up to the gate and return its decision."""
    for step in steps_of(config, journal.serving, places, journal.since):
        _do(step, journal, runner, places, say)
        if step.name == BUILD:
            _check_build(config, places, journal.serving)
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


def _do(step: Step, journal: Journal, runner: Runner, places: Places, say: Say) -> None:
    if journal.is_done(step):
        say(f"{step.name:<12} done before")
        return
    say(f"{step.name:<12} onebar {' '.join(step.command[:2])} …")

    def work() -> None:
        runner.run(step, places.folder / f"{step.name}.log")
        for path in step.keeps:
            shutil.copy(path, places.folder / path.name)

    journal.run(step, work)
    say(f"{step.name:<12} {journal.seconds()[step.name]:,.0f} s")


def _check_build(config: Config, places: Places, serving: Serving) -> None:
    """Check that the logs end on the day of the refresh, and that an embedder of the build is the served one.

    Raises:
        ConfigError: one of them is not so.
    """
    tables = read_json(places.build / _TABLES)
    if tables["last_day"] != places.day:
        raise ConfigError(
            f"the logs end on day {tables['last_day']} and the refresh is of day {places.day}, which must be the last"
            f" one: the candidate is measured on it. Refresh day {tables['last_day']}, or add what is missing"
        )
    if config.embedder == "build":
        built = (read_json(places.build / "embedder" / "embedder.json") or {}).get("version")
        manifest = read_json(Path(serving.bundle) / "manifest.json")
        served = (manifest.get("embedder") or {}).get("version")
        if built != served:
            raise ConfigError(
                f"the build has the embedder {built} and the served bundle {served}; export the first bundle with"
                f" --embedder {places.build}/embedder, or set `embedder: serving`"
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
    return Record(
        day=places.day,
        outcome=outcome,
        reasons=reasons,
        step=step,
        serving=asdict(journal.serving),
        candidate=candidate,
        decision=read_json(places.decision) if GATE in journal.steps else None,
        events=read_json(places.folder / EVENTS_REPORT),
        seconds=dict(journal.seconds()),
        began=journal.began,
        ended=now(),
    )


def _finish(config: Config, record: Record, places: Places, say: Say) -> None:
    """Write the record, unless the day has ended in this way before, the metrics, and send alerts."""
    before = read_json(places.folder / RECORD)
    if before is not None and {**before, "ended": ""} == {**_plain(record), "ended": ""} and record.outcome != "failed":
        say(f"day {record.day} was {record.outcome} before: {'; '.join(record.reasons)}")
        return
    record.write(places.folder, config.state)
    if record.outcome != "failed":
        shutil.rmtree(places.packed, ignore_errors=True)
    if config.metrics_file is not None:
        write_metrics(config.metrics_file, record, config.state)
    say(f"day {record.day} {record.outcome}: {'; '.join(record.reasons)}")
    if record.outcome != "promoted":
        reason = "; ".join(record.reasons)
        message = {"day": record.day, "outcome": record.outcome, "step": record.step, "reason": reason}
        for fault in alerts.send(config.alert, message):
            say(fault)


def _plain(record: Record) -> dict[str, Any]:
    """Return the record as JSON gives it back."""
    document = asdict(record)
    document["reasons"] = list(record.reasons)
    return document
