"""What the tables of a build hold, day by day, and whether days that `--since` calls old are as they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from offline.build.errors import BuildError
from offline.errors import SettingsError
from offline.logs.intake import Intake

TABLES_FILE = "tables.json"
EVENTS = ("impressions", "exposures", "searches", "search_clicks")
"""The tables whose rows belong to a day that ends."""


@dataclass(frozen=True, slots=True)
class TableReport:
    """The tables of a build.

    Attributes:
        last_day: the last day with a row.
        rows: by table, the rows read.
        faults: by table, the bad rows by fault.
        days: by table and day, the sound rows.
    """

    last_day: int
    rows: Mapping[str, int]
    faults: Mapping[str, Mapping[str, int]]
    days: Mapping[str, Mapping[str, int]]

    @property
    def bad(self) -> int:
        """The number of bad rows."""
        return sum(sum(faults.values()) for faults in self.faults.values())

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def report_of(intake: Intake) -> TableReport:
    """Count the rows of the tables by day.

    Raises:
        SettingsError: no table of events has a row.
    """
    days: dict[str, dict[str, int]] = {}
    for name in EVENTS:
        table = intake.tables[name]
        counted = intake.engine.fetch(table.group_by("day").agg(rows=table.count()).order_by("day"))
        rows = zip(counted["day"].to_pylist(), counted["rows"].to_pylist(), strict=True)
        days[name] = {str(day): count for day, count in rows}
    found = [int(day) for counts in days.values() for day in counts]
    if not found:
        raise SettingsError("the tables of events are empty; evidence needs at least one impression")
    return TableReport(
        last_day=max(found),
        rows={name: count.rows for name, count in intake.counts.items()},
        faults={name: dict(count.faults) for name, count in intake.counts.items() if count.bad},
        days=days,
    )


def read_report(out: Path) -> TableReport | None:
    """Return the report of the build before, None if there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads((out / TABLES_FILE).read_text(encoding="utf-8"))
        return TableReport(**found)
    except (OSError, ValueError, TypeError):
        return None


def check_increment(before: TableReport | None, now: TableReport, since: int) -> None:
    """Check that the logs are those of the build before, with days from `since` on added.

    Raises:
        BuildError: there is no build before, days are missing between the two, or an older day has changed.
    """
    if before is None:
        raise BuildError(f"--since {since} needs an earlier build, and there is none; build without --since once")
    if since > now.last_day:
        raise BuildError(f"the logs end on day {now.last_day}, so --since {since} adds nothing")
    if since > before.last_day + 1:
        raise BuildError(
            f"the build before read the days up to {before.last_day}; with --since {since} the days between would be "
            f"in neither: give --since {before.last_day + 1}"
        )
    for name in EVENTS:
        old, new = (report.days.get(name, {}) for report in (before, now))
        for day in sorted(map(int, {*old, *new})):
            was, is_now = old.get(str(day), 0), new.get(str(day), 0)
            if day < since and was != is_now:
                raise BuildError(
                    f"{name} had {was:,} rows of day {day} in the build before and has {is_now:,} now; --since {since} "
                    f"is for logs whose earlier days have not changed: give --since {day}, or build without --since"
                )
