"""The record of a day: what was promoted or refused, and why."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from refresh.files import write_json

RECORD, HISTORY = "record.json", "history.jsonl"

Outcome = Literal["promoted", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a day.

    Attributes:
        day: the log day.
        outcome: promoted, refused, or failed.
        reasons: why.
        step: the step that failed; None if none has.
        serving: bundle, its id and its checkpoint, when the refresh began.
        candidate: the same of the candidate; None before it was exported.
        decision: what the gate wrote; None before.
        events: the report of the export of events; None without it.
        seconds: of each step.
        began: time in UTC.
        ended: time in UTC.
        late_events: by day before, the report of its export again.
    """

    day: int
    outcome: Outcome
    reasons: tuple[str, ...]
    step: str | None
    serving: dict[str, Any]
    candidate: dict[str, Any] | None
    decision: dict[str, Any] | None
    events: dict[str, Any] | None
    seconds: dict[str, float]
    began: str
    ended: str
    late_events: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, folder: Path, state: Path) -> None:
        """Write it to the folder of the day, and a line of it to the history of the refresh."""
        write_json(folder / RECORD, asdict(self))
        kept = ("day", "outcome", "reasons", "step", "began", "ended")
        line = {name: getattr(self, name) for name in kept}
        line["serving"] = self.serving["bundle_id"]
        line["candidate"] = None if self.candidate is None else self.candidate["bundle_id"]
        descriptor = os.open(state / HISTORY, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def last_ended(state: Path, *outcomes: Outcome) -> str | None:
    """Return when the latest refresh with one of these outcomes ended; None if there was none."""
    try:
        lines = (state / HISTORY).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:  # cut by a crash
            continue
        if entry["outcome"] in outcomes:
            ended: str = entry["ended"]
            return ended
    return None
