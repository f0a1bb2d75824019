"""The report of what is finished: Markdown, CSV and SVG files, and JSON in the form that the page shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.ablations.facts import Workplace
from benchmarks.ablations.figures import checkpoint_curve, diagnostics, hit_rate_by_cutoff, slice_table
from benchmarks.ablations.plan import Run, select_runs
from benchmarks.ablations.plots import plot
from benchmarks.ablations.results import Results
from benchmarks.ablations.statistics import Figure
from benchmarks.ablations.tables import (
    COMPARISONS,
    SYSTEMS,
    Cell,
    Table,
    comparison,
    system_differences,
    systems_table,
    teacher_table,
)
from evaluation.grounding import KINDS, Shop, entity_report
from evaluation.report_tables import markdown_table

SMOKE = "This is a smoke test of the paths. Its figures mean nothing."
INTERVALS = (
    "Figures with an interval: over seeds (t, 95 %) where there are several, otherwise over videos (bootstrap, 95 %). "
    "Changes are paired on the same clicks, with the interval over videos; a click counts with its mean over the seeds."
)
_SIGNED = ("change of", "difference in")
_FIGURES = {
    "figure4": diagnostics, "figure5": slice_table, "figure6": hit_rate_by_cutoff, "figure7": checkpoint_curve,
}  # fmt: skip


def write_report(place: Workplace, runs: Sequence[Run], parts: Sequence[str], head: Mapping[str, Any]) -> Path:
    """Write the report of the finished runs into the folder `report`, and return its Markdown file.

    Args:
        place: the configuration, and the folder of the runs.
        runs: of the plan.
        parts: of the report.
        head: commit, machine and versions, from `loadtest.machine.begin_result`.
    """
    results = Results(place, select_runs(runs, parts))
    tables = [table for table in _tables(results, parts) if table.rows]
    folder = place.work / "report"
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        _write_csv(table, folder / f"{table.part}.csv")
        if table.part in _FIGURES:
            plot(table, folder / f"{table.part}.svg", place.config.smoke)
    report = folder / "report.md"
    report.write_text(_markdown(results, tables, head), encoding="utf-8")
    text = json.dumps(page_report(results, tables, head), indent=1, ensure_ascii=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    return report


def _tables(results: Results, parts: Sequence[str]) -> Iterator[Table]:
    groups, photos = results.groups, results.photos
    if "table3" in parts and (results.baselines or any(row.group in groups for row in SYSTEMS)):
        for view in ("decontaminated", "as_served"):
            yield systems_table(view, groups, results.baselines, photos)
        yield system_differences(groups, results.baselines, photos)
        if results.config.inputs.truth is not None:
            yield entity_table(results)
    for part in COMPARISONS:
        if part in parts and any(row.group in groups for row in COMPARISONS[part][1]):
            yield comparison(part, groups, photos)
    if "table5" in parts and results.teachers:
        yield teacher_table(results.teachers, photos)
    for part, make in _FIGURES.items():
        if part in parts:
            yield make(results)
    yield runs_table(results)


def entity_table(results: Results) -> Table:
    """Return the rates of queries with a wrong entity, as served; of a system with several seeds, of all of them."""
    truth = results.config.inputs.truth
    assert truth is not None
    shop = Shop(truth)
    shop.check(results.examples)
    shown: dict[str, list[list[list[str]]]] = {
        name: [views["as_served"].predictions] for name, views in results.baselines.items()
    }
    for row in SYSTEMS:
        if row.group in results.groups:
            shown[row.label] = [run["as_served"].predictions for run in results.groups[row.group]]
    table = Table(
        "table3-entities", "Wrong entities, as served", ["queries of", "queries", "wrong entity", *KINDS, "answered"]
    )
    for name, seeds in shown.items():
        # Each seed is a copy of the clicks; they stay together in the bootstrap, which draws videos.
        examples = [example for _ in seeds for example in results.examples]
        found = entity_report(shop, examples, {name: [queries for seed in seeds for queries in seed]})[name]
        wrong = Figure(found["wrong"]["mean"], *found["wrong"]["interval"])
        table.rows.append([name, found["queries"], wrong, *(found[kind] for kind in KINDS), found["answered"]])
    return table


def runs_table(results: Results) -> Table:
    """Return what each finished run took, and where."""
    columns = ["run", "steps", "best step", "validation HR@8", "seconds", "measuring, s"]
    table = Table("runs", "Finished runs", [*columns, "commit", "processor", "changes"])
    for found in results.records():
        training = found["training"]
        seconds = training.get("seconds", training.get("wall_seconds"))
        cells: list[Cell] = [found["run"], training.get("steps"), training.get("best_step"), training.get("valid_hr@8")]
        cells += [seconds, found["measuring_seconds"], found["commit"], found["cpu"], ", ".join(found["overrides"])]
        table.rows.append([round(cell) if isinstance(cell, float) and cell >= 1 else cell for cell in cells])
    return table


def page_report(results: Results, tables: Sequence[Table], head: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report in the form of service/page/reports/form.py."""
    config, machine = results.config, head["machine"]
    note = f"{SMOKE if config.smoke else INTERVALS} {_about(results)}"
    systems = next((table for table in tables if table.part == "table3-decontaminated"), None)
    plots = [] if systems is None else [_bars(systems)]
    return {
        "format": "onebar-report-1",
        "title": f"Ablations, {config.name}",
        "command": "python -m benchmarks.ablations CONFIG --work FOLDER",
        "made": f"commit {head['commit']}, {machine['cpu']}, {machine['cores']} cores",
        "note": note[:300],
        "tables": [
            {
                "title": table.title,
                "columns": table.columns[:14],
                "rows": [[_page_cell(cell, head) for cell, head in zip(row, table.columns[:14], strict=False)]
                         for row in table.rows[:120]],
            }
            for table in tables[:24]
        ],
        "plots": [chart for chart in plots if chart["bars"]],
    }  # fmt: skip


def _bars(table: Table) -> dict[str, Any]:
    bars = []
    for row in table.rows[:40]:
        found = row[table.columns.index("HR@8")]
        if isinstance(found, Figure):
            low, high = (None if bound is None else max(bound, 0.0) for bound in (found.low, found.high))
            bars.append({"label": str(row[0]), "value": found.mean, "low": low, "high": high, "paper": False})
    return {"title": table.title, "unit": "HR@8", "bars": bars}


def _page_cell(cell: Cell, head: str) -> str | int | float | None:
    if isinstance(cell, Figure):
        return cell.text(signed=head.startswith(_SIGNED))
    return round(cell, 4) if isinstance(cell, float) else cell if not isinstance(cell, str) else cell[:300]


def _about(results: Results) -> str:
    config, measure = results.config, results.config.measure
    seeds = ", ".join(map(str, config.seeds))
    variants = ", ".join(map(str, config.seeds_of_variants))
    return (
        f"{len(results.examples):,} clicks on {len(set(results.photos)):,} videos of the test day; "
        f"{measure.weights} weights; seeds {seeds} (variants of Stage III: {variants}); {config.processes} processes."
    )


def _markdown(results: Results, tables: Sequence[Table], head: Mapping[str, Any]) -> str:
    config, machine = results.config, head["machine"]
    lines = [f"# Ablations, {config.name}", ""]
    if config.smoke:
        lines += [f"**{SMOKE}**", ""]
    versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
    lines += [_about(results), "", INTERVALS, ""]
    lines += [f"Report: commit {head['commit']}, {machine['cpu']}, {machine['cores']} cores, {versions}.", ""]
    if results.missing:
        lines += [f"**{len(results.missing)} runs are missing:** {', '.join(results.missing)}.", ""]
    for table in tables:
        lines += [f"## {table.title}", ""]
        if table.note:
            lines += [table.note, ""]
        if table.part in _FIGURES:
            lines += [f"![{table.title}]({table.part}.svg)", ""]
        rows = [[_text(cell, name) for cell, name in zip(row, table.columns, strict=True)] for row in table.rows]
        lines += [*markdown_table([table.columns, *rows]), ""]
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return "\n".join([*lines, "## Configuration", "", "```yaml", settings.rstrip(), "```", ""])


def _text(cell: Cell, head: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Figure):
        return cell.text(signed=head.startswith(_SIGNED))
    if isinstance(cell, float):
        return f"{cell:.4f}" if abs(cell) < 10 else f"{cell:.0f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _write_csv(table: Table, path: Path) -> None:
    """Write a table; a column with intervals becomes three."""
    wide = [any(isinstance(row[place], Figure) for row in table.rows) for place in range(len(table.columns))]
    heads: list[str] = []
    for name, bounds in zip(table.columns, wide, strict=True):
        heads += [name, f"{name} low", f"{name} high"] if bounds else [name]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        for row in table.rows:
            cells: list[Any] = []
            for cell, bounds in zip(row, wide, strict=True):
                values = (cell.mean, cell.low, cell.high) if isinstance(cell, Figure) else (cell, None, None)
                cells += [_rounded(value) for value in values[: 3 if bounds else 1]]
            writer.writerow(cells)


def _rounded(value: str | int | float | None) -> str | int | float | None:
    return round(value, 5) if isinstance(value, float) else value
