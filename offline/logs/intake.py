"""The log tables on their way in: bad rows are set aside with a reason, and too many of them stop the run.

The seven tables are read in the order of their references. Rows that do not follow the schema go to
`set_aside/<table>.parquet`, as they were stored, with the column `fault`; the others are handed on. A table of which
more than a stated share is bad is an error, which says what is wrong and how to correct it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ibis
import ibis.expr.types as ir

from offline.errors import SettingsError, TableError
from offline.logs.engine import Engine
from offline.logs.faults import (
    DUPLICATE,
    FAULT,
    FIXES,
    Clock,
    cast_columns,
    day_zero,
    mark_faults,
    repeated_keys,
    split_duplicates,
    stored_name,
)
from offline.logs.schema import TABLES

ORDER = ("videos", "users", "impressions", "exposures", "searches", "search_clicks", "reviews")
"""A table comes after the tables that it references."""

SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """How bad rows are treated.

    Attributes:
        max_bad_share: the largest share of bad rows of a table; one more row stops the run.
        set_aside: the folder for bad rows; `set_aside` in the dataset when None.
        now_ms: unix milliseconds; events after this time are bad. The time of the run when None.
        replaced: by table, the folder that it is read from instead of the dataset.
    """

    max_bad_share: float = 0.01
    set_aside: Path | None = None
    now_ms: int | None = None
    replaced: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableCount:
    """The rows of one table.

    Attributes:
        rows: the number of rows read.
        faults: the number of bad rows by fault, the most frequent first.
    """

    rows: int
    faults: Mapping[str, int]

    @property
    def bad(self) -> int:
        """The number of bad rows."""
        return sum(self.faults.values())

    @property
    def bad_share(self) -> float:
        """The share of bad rows."""
        return self.bad / max(self.rows, 1)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {fault}" for fault, count in self.faults.items())
        return f"{self.bad:,} of {self.rows:,} rows are bad ({self.bad_share:.1%}): {reasons}"


@dataclass(frozen=True, slots=True)
class Intake:
    """The tables of a dataset without their bad rows.

    Attributes:
        engine: the engine that holds the tables.
        tables: by name, the sound rows, with the columns and types of the schema; they are read when they are used.
        counts: by name, the rows read and the bad ones.
    """

    engine: Engine
    tables: Mapping[str, ir.Table]
    counts: Mapping[str, TableCount]


def read_logs(
    dataset: Path | str,
    engine: Engine,
    settings: IntakeSettings | None = None,
    advance: Callable[[str], object] = lambda _: None,
) -> Intake:
    """Read and check the seven tables of a dataset.

    Args:
        dataset: a folder, or a URL that the engine reads.
        engine: the engine.
        settings: how bad rows are treated; the defaults when None.
        advance: called with the name of each table before its rows are read.

    Raises:
        TableError: a table is missing, unreadable, lacks a column, or has too many bad rows.
        SettingsError: the bad rows of a dataset behind a URL have no folder.
    """
    settings = settings or IntakeSettings()
    folder = _set_aside_folder(dataset, settings)
    where = {name: settings.replaced.get(name, dataset) for name in ORDER}
    cast = {name: cast_columns(engine.read(where[name], name), name, f"{where[name]}/{name}") for name in ORDER}
    clock = _clock(cast["impressions"], engine, settings, dataset)
    tables: dict[str, ir.Table] = {}
    counts: dict[str, TableCount] = {}
    known: dict[str, ir.Table] = {}
    for name in ORDER:
        advance(name)
        with engine.reading(f"{where[name]}/{name}"):
            marked = engine.name(mark_faults(cast[name], name, clock, known))
            sound, bad = _separate(marked, name, engine)
            counts[name] = _count(sound, bad, engine)
            _write_bad(bad, name, counts[name], folder, engine)
            tables[name] = sound.select(*TABLES[name].schema.names)
            if any(name in spec.references.values() for spec in TABLES.values()):
                day = ["day"] if "day" in TABLES[name].schema.names else []
                known[name] = engine.keep(tables[name].select(*TABLES[name].key, *day))
    _stop_over(settings.max_bad_share, counts, folder)
    return Intake(engine, tables, counts)


def _set_aside_folder(dataset: Path | str, settings: IntakeSettings) -> Path:
    if settings.set_aside is not None:
        return settings.set_aside
    if "://" in str(dataset):
        raise SettingsError(f"rows of {dataset} that are set aside need a folder; name one with --set-aside FOLDER")
    return Path(dataset) / SET_ASIDE


def _clock(impressions: ir.Table, engine: Engine, settings: IntakeSettings, dataset: Path | str) -> Clock:
    with engine.reading(f"{dataset}/impressions"):
        found = engine.fetch(day_zero(impressions))["zero"].to_pylist()
    now_ms = settings.now_ms if settings.now_ms is not None else int(time.time() * 1000)
    return Clock(found[0] if found else 0, now_ms)


def _separate(marked: ir.Table, name: str, engine: Engine) -> tuple[ir.Table, ir.Table]:
    """Return the sound and the bad rows."""
    sound, bad = marked.filter(marked[FAULT].isnull()), marked.filter(marked[FAULT].notnull())
    if not TABLES[name].key:
        return sound, bad
    repeated = repeated_keys(sound, name)
    if not engine.count(repeated):
        return sound, bad
    sound, extra = split_duplicates(sound, engine.keep(repeated), name)
    key = " + ".join(TABLES[name].key)
    extra = extra.mutate(**{FAULT: ibis.literal(f"{key}: {DUPLICATE}")})
    return engine.name(sound), engine.name(bad.union(extra))


def _count(sound: ir.Table, bad: ir.Table, engine: Engine) -> TableCount:
    faults = sound.select(FAULT).union(bad.select(FAULT))
    counted = engine.fetch(faults.group_by(FAULT).agg(rows=faults.count()))
    rows = dict(zip(counted[FAULT].to_pylist(), counted["rows"].to_pylist(), strict=True))
    total = sum(rows.values())
    rows.pop(None, None)
    return TableCount(total, dict(sorted(rows.items(), key=_most_frequent)))


def _most_frequent(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def _write_bad(bad: ir.Table, name: str, count: TableCount, folder: Path, engine: Engine) -> None:
    """Write the bad rows of a table as they were stored; without any, remove those of an earlier run."""
    path = folder / f"{name}.parquet"
    path.unlink(missing_ok=True)
    if count.bad:
        folder.mkdir(parents=True, exist_ok=True)
        columns = {
            column: bad[stored_name(column) if stored_name(column) in bad.columns else column]
            for column in TABLES[name].schema.names
        }
        engine.save(bad.select(**columns, **{FAULT: bad[FAULT]}), path)


def _stop_over(limit: float, counts: Mapping[str, TableCount], folder: Path) -> None:
    over = {name: count for name, count in counts.items() if count.bad_share > limit}
    if not over:
        return
    kinds = {fault.split(": ", 1)[1] for count in over.values() for fault in count.faults}
    fixes = "; ".join(f"{kind}: {fix}" for kind, fix in FIXES.items() if kind in kinds)
    tables = "; ".join(f"{name}: {count}" for name, count in over.items())
    raise TableError(
        f"{tables}. The limit is {limit:.1%} of a table. The rows are in {folder}. How to correct them: {fixes}. "
        f"Or raise the limit with --max-bad-share"
    )
