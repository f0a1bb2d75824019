"""Time, memory and disk of each step, estimated from the rows of the tables before a build starts.

The rates are CPU seconds of one core of an AMD EPYC: those of tables, evidence and users measured on worlds of 10,000
and 12,000 videos (1.3 and 3.5 million events, 12 days), the others derived from single commands. They are rough:
another machine, longer texts or more distinct queries change the time by a factor of two or three.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from offline.build.errors import SpaceError
from offline.logs.engine import Engine
from offline.logs.intake import ORDER

_EXACT_SEARCH = 50_000
"""Up to this many videos each one is compared with all others; above it the time of an index is almost linear."""
_VIDEOS_OF_BLOCK = 1 << 15
_EVENTS = ("impressions", "exposures", "searches", "search_clicks")
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step is expected to need."""

    seconds: float
    memory_bytes: float
    disk_bytes: float


@dataclass(frozen=True, slots=True)
class _Rate:
    """A cost as a fixed part and parts for each video, each event and each user."""

    fixed: float = 0.0
    video: float = 0.0
    event: float = 0.0
    user: float = 0.0

    def of(self, rows: Mapping[str, int]) -> float:
        events = sum(rows[name] for name in _EVENTS)
        return self.fixed + self.video * rows["videos"] + self.event * events + self.user * rows["users"]


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes of memory: a fixed part, and parts for each video, event and user.

    Videos are searched in blocks: `block` is what each video of a block needs on top. What is held of the events is in
    the engine, which spills to disk above its limit.
    """

    fixed: float
    video: float = 0.0
    event: float = 0.0
    user: float = 0.0
    block: float = 0.0

    def of(self, rows: Mapping[str, int], limit: float) -> float:
        events = self.event * sum(rows[name] for name in _EVENTS)
        blocks = self.block * min(rows["videos"], _VIDEOS_OF_BLOCK)
        return self.fixed + self.video * rows["videos"] + blocks + min(events, limit) + self.user * rows["users"]


@dataclass(frozen=True, slots=True)
class _Rates:
    """The rates of a step: seconds, bytes of memory, bytes of disk, and seconds for each pair of videos compared."""

    seconds: _Rate
    memory: _Memory
    disk: _Rate = _Rate(0.01 * _MIB)
    seconds_pair: float = 0.0


_READING = _Memory(250 * _MIB, event=70)
"""Of the checked and coded logs."""

_WITH_VECTORS = _Memory(250 * _MIB, video=7_000, event=70, user=200, block=25_000)
"""Of those and the vectors of their videos and queries, of which there are about four a video, and the indexes."""

_RATES = {
    "tables": _Rates(_Rate(1, event=1.5e-6), _READING),
    "summaries": _Rates(_Rate(2, video=2.6), _Memory(700 * _MIB, video=5_000), _Rate(video=4_000)),
    "embedder": _Rates(_Rate(10, video=5e-3, event=3e-5), _Memory(850 * _MIB, 30_000, 200), _Rate(3 * _MIB)),
    "evidence": _Rates(_Rate(1, video=7e-4, event=1.4e-6), _WITH_VECTORS, _Rate(video=700), 2e-8),
    "users": _Rates(_Rate(user=1e-4), _WITH_VECTORS, _Rate(user=21_000)),
    "examples": _Rates(_Rate(3, event=6e-6), _WITH_VECTORS, _Rate(event=6), 7e-8),
}
_SECONDS_PER_TEXT_SUMMARY = 2e-4


def count_rows(engine: Engine, dataset: str) -> dict[str, int]:
    """Return the rows of each table, from the footers of their files.

    Raises:
        TableError: a table is missing or unreadable.
    """
    return {name: engine.count(engine.read(dataset, name)) for name in ORDER}


def estimate(
    names: Iterable[str], rows: Mapping[str, int], *, with_files: bool, memory_limit: float | None = None
) -> dict[str, Cost]:
    """Return the cost of steps.

    Args:
        names: of the steps.
        rows: of the tables.
        with_files: whether summaries are made from video files; else from texts.
        memory_limit: bytes above which the engine spills to disk; None if it does not.
    """
    limit = float("inf") if memory_limit is None else memory_limit
    costs = {}
    for name in names:
        rates = _RATES[name]
        seconds = rates.seconds.of(rows) + rates.seconds_pair * rows["videos"] * min(rows["videos"], _EXACT_SEARCH)
        if name == "summaries" and not with_files:
            seconds = rates.seconds.fixed + _SECONDS_PER_TEXT_SUMMARY * rows["videos"]
        costs[name] = Cost(seconds, rates.memory.of(rows, limit), rates.disk.of(rows))
    return costs


def check_disk(out: Path, costs: Mapping[str, Cost]) -> None:
    """Check that the disk of a folder, which may not exist yet, has room for the outputs.

    Raises:
        SpaceError: it has not.
    """
    existing = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    needed = sum(cost.disk_bytes for cost in costs.values())
    if needed > free:
        raise SpaceError(
            f"the build will write about {in_bytes(needed)} to {out}, and its disk has {in_bytes(free)} free; free "
            "some space, give a folder on another disk, or leave the vectors out with --no-embeddings"
        )


def to_text(reasons: Mapping[str, str], costs: Mapping[str, Cost]) -> str:
    """Return a table to print: each step, why it runs, and what it is expected to need."""
    lines = [f"{'step':<10} {'time':>8} {'memory':>9} {'disk':>9}  why"]
    for name, reason in reasons.items():
        if not reason:
            lines.append(f"{name:<10} {'-':>8} {'-':>9} {'-':>9}  unchanged, will be skipped")
            continue
        cost = costs[name]
        lines.append(
            f"{name:<10} {in_time(cost.seconds):>8} {in_bytes(cost.memory_bytes):>9} {in_bytes(cost.disk_bytes):>9}  "
            f"{reason}"
        )
    total = sum(cost.seconds for cost in costs.values())
    peak = max((cost.memory_bytes for cost in costs.values()), default=0)
    disk = sum(cost.disk_bytes for cost in costs.values())
    lines.append(f"{'together':<10} {in_time(total):>8} {in_bytes(peak):>9} {in_bytes(disk):>9}  a rough estimate")
    return "\n".join(lines)


def in_time(seconds: float) -> str:
    """Return a duration in the largest unit that is under it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def in_bytes(count: float) -> str:
    """Return a size in MiB or GiB."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / _MIB:,.0f} MiB"
