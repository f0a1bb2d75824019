"""The report of `onebar simulate`: an A/B test of a bundle against the cascade or another one, beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.page.reports import paper
from service.page.reports.figures import short, table
from service.page.reports.form import Bar, Plot, Report, Table

_FIGURES = {
    "exposure": "query exposure", "clicks": "query clicks", "ctr": "query CTR", "orders": "guided orders",
    "gmv": "guided GMV", "expected_orders": "guided orders, expected", "expected_gmv": "guided GMV, expected",
    "utility": "utility, eq. (2)",
}  # fmt: skip
_HEADS = ["figure", "control", "treatment", "change, %", "from", "to"]


def is_ab_test(document: Mapping[str, Any]) -> bool:
    """Return whether a document is a report of `onebar simulate`."""
    return isinstance(document.get("a_b"), dict) and isinstance(document.get("bad_cases"), dict)


def read_ab_test(document: Mapping[str, Any]) -> Report:
    """Return the report of a simulated A/B test.

    Raises:
        KeyError: a part is missing.
        ValidationError: it is beyond the bounds of the form.
    """
    paired, bad = document["a_b"]["paired"], document["bad_cases"]
    tables = [
        _changes("A/B, every impression played by both systems", paired),
        paper.AB_TEST,
        _changes("A/B, every bar of both systems shown, without the CTR constraint", document["a_b"]["every_bar"]),
        _changes("A/B, viewers split by a hash", document["a_b"]["split"]["figures"]),
        _changes("A/A, the control against itself", document["a_a"]["split"]["figures"]),
        _slices(document["slices"]),
        _bad_cases("Bad cases of all shown queries, %", bad["kinds"]),
        _bad_cases("Bad cases where both show a bar, %", bad["kinds_both"]),
    ]
    systems = [("control", document["control"]), ("treatment", document["treatment"])]
    plots = [
        Plot(title=_FIGURES[name], bars=[Bar(label=str(system), value=paired[name][arm]) for arm, system in systems])
        for name in ("exposure", "clicks", "ctr")
    ]
    days = ", ".join(map(str, document["days"]))
    return Report(
        title="A/B test by simulation",
        command="onebar simulate WORLD BUNDLE --examples EXAMPLES --evidence EVIDENCE --out REPORT",
        made=short(f"{document['treatment']} against {document['control']}, log days {days}"),
        note=paper.NOTE,
        tables=tables,
        plots=plots,
    )


def _changes(title: str, figures: Mapping[str, Any]) -> Table:
    rows = [
        [_FIGURES.get(name, name), found["control"], found["treatment"], *_percent(found["change"], found["interval"])]
        for name, found in figures.items()
    ]
    return table(title, _HEADS, rows)


def _slices(slices: Mapping[str, Any]) -> Table:
    rows = []
    for name, found in slices.items():
        for figure in ("exposure", "clicks", "utility"):
            change = found["figures"][figure]
            rows.append([name, _FIGURES[figure], *_percent(change["change"], change["interval"])])
    return table("By age of the video and activity of the viewer", ["slice", "figure", "change, %", "from", "to"], rows)


def _bad_cases(title: str, kinds: Mapping[str, Any]) -> Table:
    rows = [
        [kind, 100 * found["control"], 100 * found["treatment"], found["points"], *found["interval"]]
        for kind, found in kinds.items()
    ]
    return table(title, ["kind", "control", "treatment", "difference, points", "from", "to"], rows)


def _percent(change: float | None, interval: list[float | None]) -> list[float | None]:
    return [None if value is None else round(100 * value, 2) for value in (change, *interval)]
