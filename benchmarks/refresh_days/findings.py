"""The figures of a run, and which aims are met."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.refresh_days.visits import Visit, rank_of
from benchmarks.windows import Window
from loadtest.samples import percentile

P99_MS = 30.0
TIMES_QUIET = 1.5
MOST_BUNDLES = 2
_AGES = ("new today", "new yesterday", "older")


def change_figures(quiet: Sequence[Window], change: Window) -> dict[str, Any]:
    """Return the figures of a change of the bundle, beside those of the quiet windows before it."""
    usual = statistics.median(window.p(99.0) for window in quiet)
    return change.to_json() | {
        "quiet_p99_ms": round(usual, 1), "times_quiet": round(change.p(99.0) / usual, 2) if usual else 0.0,
    }  # fmt: skip


def served_hits(visits: Collection[Visit], shown: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return HR@8 as the live service answered, by age of the video; a refused request is a miss.

    Args:
        visits: of the day.
        shown: the queries of each answered impression.
    """
    hits: dict[str, list[bool]] = {age: [] for age in _AGES}
    for visit in visits:
        if visit.wanted is not None:
            found = rank_of(visit.wanted, shown.get(visit.impression_id, ())) > 0
            hits[_AGES[min(visit.age, len(_AGES) - 1)]].append(found)
    return {
        age: {"intents": len(found), "hr": round(sum(found) / len(found), 4) if found else None}
        for age, found in hits.items()
    }


def different_rows(exposures: Path, shown: Mapping[str, Sequence[str]], clicked: Collection[str]) -> dict[str, int]:
    """Return how many shown queries a day's export has, and how many rows differ from what the viewers saw and did.

    Args:
        exposures: the exported file of the day.
        shown: the queries of each answered impression.
        clicked: the impressions with a click.
    """
    rows = pq.read_table(exposures, columns=["impression_id", "position", "query", "clicked"]).to_pylist()
    exported = {(r["impression_id"], r["position"], r["query"]) for r in rows if r["position"]}
    exported_clicks = {row["impression_id"] for row in rows if row["clicked"]}
    seen = {(name, rank, query) for name, queries in shown.items() for rank, query in enumerate(queries, 1)}
    return {"exposures": len(exported), "different": len(exported ^ seen) + len(exported_clicks ^ set(clicked))}


def aims(findings: Mapping[str, Any]) -> dict[str, bool]:
    """Return which aims of the run are met.

    Args:
        findings: of `__main__`.
    """
    all_new = findings["quality"]["all"]
    return {
        "no failed request": findings["load"]["failed"] == 0 and findings["feedback"]["failed"] == 0,
        "each day's candidate is promoted": all(day["outcome"] == "promoted" for day in findings["days"]),
        f"p99 of all changes at most {P99_MS:g} ms": findings["changes"]["p99_ms"] <= P99_MS,
        f"and at most {TIMES_QUIET:g} times the quiet windows": findings["changes"]["times_quiet"] <= TIMES_QUIET,
        "two bundles at most in memory": findings["bundles_loaded"] <= MOST_BUNDLES,
        "HR@8 on new videos rises": all_new["refreshed"]["interval"][0] > 0,
        "exported rows are those that viewers saw": all(day["exported"]["different"] == 0 for day in findings["days"]),
        "the sabotaged candidate is refused": findings["sabotage"]["outcome"] == "refused"
        and not findings["sabotage"]["served"],
        "the rollback works": findings["rollback"]["works"],
    }


def pooled(changes: Sequence[Window], quiet: Sequence[Sequence[Window]]) -> dict[str, Any]:
    """Return the figures of all changes together.

    Args:
        changes: the windows of the changes.
        quiet: the quiet windows of each day.
    """
    latencies = [latency for window in changes for latency in window.latencies_ms]
    usual = statistics.median(window.p(99.0) for windows in quiet for window in windows)
    p99 = percentile(latencies, 99.0) if latencies else 0.0
    return {
        "changes": len(changes),
        "requests": len(latencies),
        "failed": sum(len(window.failed) for window in changes),
        "refused": sum(len(window.refused) for window in changes),
        "p99_ms": round(p99, 1),
        "quiet_p99_ms": round(usual, 1),
        "times_quiet": round(p99 / usual, 2) if usual else 0.0,
    }
