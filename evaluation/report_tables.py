"""The tables of a report on one shop, as rows of cells, and how rows become markdown or text for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evaluation.grounding import KINDS
from evaluation.metrics import METRICS

TITLES = {"hr": "HR@8", "mrr": "MRR@8", "ed_hr": "ED-HR@8", "ed": "ED@8", "bleu": "BLEU@8"}

Rows = list[list[str]]


def metric_rows(world: dict[str, Any], view: str) -> Rows:
    """Return the metrics of every system in one view."""
    rows = [["system", *TITLES.values(), "no answer"]]
    for name, system in world["systems"].items():
        outcome = system[view]
        rows.append([name, *(_figure(outcome[metric]) for metric in METRICS), f"{outcome['empty']:.3f}"])
    return rows


def difference_rows(world: dict[str, Any]) -> Rows:
    """Return the differences between the bundles and every other system."""
    rows = [["difference", *TITLES.values()]]
    for name, difference in world["differences"].items():
        rows.append([name, *(_figure(difference[metric]) for metric in METRICS)])
    return rows


def slice_rows(world: dict[str, Any]) -> Rows:
    """Return HR@8 by slice."""
    slices = {name: system["slices"] for name, system in world["systems"].items()}
    return _by_slice(slices, lambda found: f"{found['hr']:.3f}")


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


def text_table(rows: Rows) -> list[str]:
    """Return lines with padded columns for a terminal, without intervals."""
    short = [[cell.split(" (")[0] for cell in row] for row in rows]
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
