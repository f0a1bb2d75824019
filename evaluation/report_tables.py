"""The tables of a report on one shop, as rows of cells, and how rows become markdown or text for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evaluation.grounding import KINDS
from evaluation.metrics import METRICS

TITLES = {"hr": "HR@8", "mrr": "MRR@8", "ed_hr": "ED-HR@8", "ed": "ED@8", "bleu": "BLEU@8"}

_HEADS = {**TITLES, "hr_new": "HR@8 new videos", "mrr_new": "MRR@8 new videos"}
_VIEW_NAMES = {"as_served": "as served", "decontaminated": "decontaminated"}
_RELEVANCE = {"bas": "BAS@8", "sr": "SR"}

Rows = list[list[str]]


def overview_rows(world: dict[str, Any]) -> Rows:
    """Return HR@8 and MRR@8 of every system in both views, of all clicks and of those on new videos."""
    columns = [(view, name) for view in world["differences"] for name in ("hr", "mrr", "hr_new", "mrr_new")]
    rows = [["system", *(f"{_HEADS[name]}, {_VIEW_NAMES[view]}" for view, name in columns)]]
    for system, views in world["systems"].items():
        rows.append([system, *(_figure(views[view][name]) for view, name in columns)])
    return rows


def metric_rows(world: dict[str, Any], view: str) -> Rows:
    """Return the metrics of every system in one view."""
    rows = [["system", *TITLES.values(), "no answer"]]
    for name, system in world["systems"].items():
        outcome = system[view]
        rows.append([name, *(_figure(outcome[metric]) for metric in METRICS), f"{outcome['empty']:.3f}"])
    return rows


def difference_rows(world: dict[str, Any], view: str) -> Rows:
    """Return the differences between the bundles and every other system in one view."""
    names = (*METRICS, "hr_new", "mrr_new")
    rows = [["difference", *(_HEADS[name] for name in names)]]
    for pair, difference in world["differences"][view].items():
        rows.append([pair, *(_figure(difference[name]) for name in names)])
    return rows


def slice_rows(world: dict[str, Any]) -> Rows:
    """Return HR@8 by slice, with its interval."""
    systems = list(world["systems"])
    rows = [["slice", "examples", *systems]]
    for part, found in world["slices"].items():
        rows.append([part, f"{found['examples']:,}", *(_figure(found["hr"][name]) for name in systems)])
    return rows


def slice_difference_rows(world: dict[str, Any]) -> Rows:
    """Return the differences in HR@8 by slice, between the bundles and every other system."""
    pairs = list(next(iter(world["slices"].values()))["differences"]) if world["slices"] else []
    rows = [["slice", *pairs]]
    for part, found in world["slices"].items():
        rows.append([part, *(_figure(found["differences"][pair]) for pair in pairs)])
    return rows


def relevance_rows(world: dict[str, Any]) -> Rows:
    """Return BAS@8 of every system, SR if there was a judge, and the shares of clicks that they are measured on.

    A system that the judge did not come to has a dash.
    """
    measures = world["relevance"]
    heads = [head for name in measures for head in (_RELEVANCE[name], "measured on")]
    rows = [["system", *heads]]
    for system in world["systems"]:
        cells = [
            [_figure(found[system]), f"{found[system]['scored']:.3f}"] if system in found else ["-", "-"]
            for found in measures.values()
        ]
        rows.append([system, *(cell for pair in cells for cell in pair)])
    return rows


def new_target_rows(world: dict[str, Any]) -> Rows:
    """Return HR@8 and MRR@8 on targets that training has not seen, or not all words of."""
    return _by_slice(world["new_targets"], lambda found: f"{found['hr']:.3f} / {found['mrr']:.3f}")


def reading_rows(reading: dict[str, Any]) -> Rows:
    """Return the reading recall of one bundle by field, beside that of the cached queries."""
    systems = list(next(iter(reading.values()))["recall"]) if reading else []
    rows = [["target stands in", "clicks", "share of clicks", *systems]]
    for part, found in reading.items():
        recall = [_figure(found["recall"][system]) for system in systems]
        rows.append([part, f"{found['clicks']:,}", f"{found['share']:.3f}", *recall])
    return rows


def entity_rows(entities: dict[str, Any]) -> Rows:
    """Return the rates of queries with a wrong entity, of every system and of the clicks."""
    rows = [["queries of", "queries", "with a wrong entity", *KINDS, "answered"]]
    for name, found in entities.items():
        kinds = [f"{found[kind]:.4f}" for kind in KINDS]
        rows.append([name, f"{found['queries']:,}", _figure(found["wrong"], 4), *kinds, f"{found['answered']:.3f}"])
    return rows


def markdown_table(rows: Rows) -> list[str]:
    """Return the lines of a markdown table; the first row is its head."""
    head, *body = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *body)]


def text_table(rows: Rows, *, intervals: bool = False) -> list[str]:
    """Return lines with padded columns for a terminal, without intervals unless they are asked for."""
    short = rows if intervals else [[cell.split(" (")[0] for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in short) for column in range(len(short[0]))]
    return [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in short
    ]


def _by_slice(systems: dict[str, dict[str, Any]], cell: Callable[[dict[str, Any]], str]) -> Rows:
    """Return a row for each slice and a column for each system."""
    rows = [["slice", "examples", *systems]]
    for part, first in next(iter(systems.values())).items():  # every system has the same slices
        rows.append([part, f"{first['examples']:,}", *(cell(slices[part]) for slices in systems.values())])
    return rows


def _figure(value: dict[str, Any], digits: int = 3) -> str:
    low, high = value["interval"]
    return f"{value['mean']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
