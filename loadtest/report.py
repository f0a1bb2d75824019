"""What a run showed: as a dictionary for JSON, and as tables of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from loadtest.checks import STAGES
from loadtest.histograms import Scrape, stage_quantiles_ms
from loadtest.samples import Sample, percentile, waits_ms
from loadtest.traffic import BATCH, SCENARIOS

PERCENTS = (50.0, 90.0, 95.0, 99.0)
SINGLES = "/recommend"
CACHE_METRIC = "onebar_result_cache_lookups_total"


def summarise(samples: Sequence[Sample], delta: Scrape | None) -> dict[str, Any]:
    """Return the figures of the measured window; times in milliseconds.

    The times at the client are those that the objective is judged by: of calls with status 200, since they were due.

    Args:
        samples: the calls of the window.
        delta: what the service's metrics added in the window, where they could be read.
    """
    groups = {SINGLES: [s for s in samples if s.scenario != BATCH]}
    groups |= {scenario: [s for s in samples if s.scenario == scenario] for scenario in SCENARIOS}
    outcomes = [outcome for sample in samples for outcome in sample.outcomes]
    stages = {stage: [o.timings_ms[stage] for o in outcomes if o.timings_ms[stage] > 0] for stage in STAGES}
    waits = {name: waits_ms(group) for name, group in groups.items()}
    quantiles = tuple(percent / 100 for percent in PERCENTS)
    histograms = stage_quantiles_ms(delta, STAGES, quantiles) if delta else {}
    names = [f"p{percent:g}" for percent in PERCENTS]
    return {
        "client_ms": {name: _distribution(values) for name, values in waits.items() if values},
        "stages_ms": {stage: _distribution(values) for stage, values in stages.items() if values},
        "histogram_stages_ms": {s: dict(zip(names, values, strict=True)) for s, values in histograms.items()},
        "lag_ms": _distribution([sample.lag_ms for sample in samples]),
        "answers": len(outcomes),
        "cache": _cache_lookups(delta) if delta else {},
        "decisions": dict(Counter(outcome.label for outcome in outcomes).most_common()),
        "degraded": dict(Counter(cause for outcome in outcomes for cause in outcome.degraded).most_common()),
        "refused": sum(sample.refused for sample in samples),
        "wrong": dict(Counter(sample.faults[0] for sample in samples if sample.faults).most_common(20)),
    }


def _cache_lookups(delta: Scrape) -> dict[str, int]:
    counts = {result: int(delta.total(CACHE_METRIC, result=result)) for result in ("hit", "joined", "miss")}
    return {result: count for result, count in counts.items() if count}


def _distribution(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"count": 0}
    found: dict[str, float] = {"count": len(values)}
    found |= {f"p{percent:g}": round(percentile(values, percent), 2) for percent in PERCENTS}
    return found | {"max": round(max(values), 2)}


def render(summary: Mapping[str, Any]) -> str:
    """Return the summary as text."""
    columns = ["count", *(f"p{percent:g}" for percent in PERCENTS), "max"]
    parts = [
        _table("at the client, ms", columns, summary["client_ms"]),
        _table("stages as the answers say, ms", columns, summary["stages_ms"]),
        _table("stages from /metrics, ms", columns[1:-1], summary["histogram_stages_ms"]),
        _counts("decisions", summary["decisions"], summary["answers"]),
        _counts("degraded", summary["degraded"], summary["answers"]),
        _counts("result cache", summary["cache"], sum(summary["cache"].values())),
        f"refused (429)   {summary['refused']}",
        f"sent late by    p99 {summary['lag_ms'].get('p99', 0):.1f} ms (the load generator's own lag)",
    ]
    return "\n\n".join(part for part in parts if part)


def _table(title: str, columns: Sequence[str], rows: Mapping[str, Mapping[str, float]]) -> str:
    if not rows:
        return ""
    width = max(len(title), *map(len, rows))
    lines = [f"{title:<{width}}" + "".join(f"{column:>9}" for column in columns)]
    lines += [f"{name:<{width}}" + "".join(_cells(values, columns)) for name, values in rows.items()]
    return "\n".join(lines)


def _cells(values: Mapping[str, float], columns: Sequence[str]) -> Iterable[str]:
    return (f"{values[column]:>9.0f}" if column == "count" else f"{values[column]:>9.1f}" for column in columns)


def _counts(title: str, counts: Mapping[str, int], total: int) -> str:
    if not counts:
        return f"{title:<16}none"
    lines = [f"{title:<16}{name} {count} ({count / max(1, total):.1%})" for name, count in counts.items()]
    return "\n".join([lines[0], *(" " * 16 + line[16:] for line in lines[1:])])
