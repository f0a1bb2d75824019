"""What was done for a day, so that a refresh that was killed goes on where it was.

A step is done if its command has ended well. It is done again if its command is another one, or if a step before it
was done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from refresh.files import now, read_json, write_json
from refresh.serving import JOURNAL, Serving
from refresh.steps import Step


@dataclass(slots=True)
class Journal:
    """The journal of one day; every change is written at once.

    Attributes:
        folder: of the day.
        day: the log day.
        serving: what was served when the refresh began.
        since: see `steps.steps_of`.
        late: the same.
        checkpoint: folder of the candidate's checkpoint, in `folder`.
        began: time in UTC.
        steps: by name, the command (`Step.identity`), the seconds that it took, and when it ended.
        begun: by name, the command of each step that has begun and not ended.
    """

    folder: Path
    day: int
    serving: Serving
    since: int | None
    late: list[int]
    checkpoint: str
    began: str
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: dict[str, list[str]] = field(default_factory=dict)
    _again: bool = False
    _broken_off: bool = False

    @classmethod
    def open(
        cls, folder: Path, day: int, checkpoint: str, find: Callable[[], tuple[Serving, int | None, list[int]]]
    ) -> Journal:
        """Return the journal of a day, or begin one.

        Args:
            folder: of the day.
            day: the log day.
            checkpoint: folder of the candidate's checkpoint.
            find: returns what is served now, `since` and `late`; they are kept for the whole refresh of a day.
        """
        known = read_json(folder / JOURNAL)
        if known is None:
            journal = cls(folder, day, *find(), checkpoint, now())
        else:
            serving = Serving(**known["serving"])
            late = known.get("late", [])  # a journal of an earlier release has none
            journal = cls(folder, day, serving, known["since"], late, checkpoint, known["began"], known["steps"])
            journal.begun = known.get("begun", {})
        journal.write()
        return journal

    def is_done(self, step: Step) -> bool:
        """Return whether a step need not run. Steps must be asked in their order."""
        entry = self.steps.get(step.name)
        self._broken_off = not self._again and self.begun.get(step.name) == list(step.identity)
        done = not self._again and entry is not None and entry["command"] == list(step.identity)
        self._again = not done
        return done

    def was_broken_off(self) -> bool:
        """Return whether the step that was asked for last had begun with this command and what was there before it."""
        return self._broken_off

    def run(self, step: Step, work: Callable[[], object]) -> None:
        """Do the work of a step and note that it is done."""
        self.steps.pop(step.name, None)
        self.begun[step.name] = list(step.identity)
        self.write()
        begun = time.monotonic()
        work()
        seconds = round(time.monotonic() - begun, 1)
        self.steps[step.name] = {"command": list(step.identity), "seconds": seconds, "ended": now()}
        del self.begun[step.name]
        self.write()

    def seconds(self) -> Mapping[str, float]:
        """Return the seconds of each step that is done."""
        return {name: entry["seconds"] for name, entry in self.steps.items()}

    def write(self) -> None:
        """Replace the file."""
        document = {
            "day": self.day,
            "began": self.began,
            "serving": asdict(self.serving),
            "since": self.since,
            "late": self.late,
            "checkpoint": self.checkpoint,
            "steps": self.steps,
            "begun": self.begun,
        }
        write_json(self.folder / JOURNAL, document)
