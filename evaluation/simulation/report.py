"""The result of a simulation as Markdown: the paper's Table 8, and its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.report_tables import markdown_table

NAMES = {
    "exposure": "Query exposure",
    "clicks": "Query clicks",
    "ctr": "Query CTR",
    "orders": "Guided orders",
    "gmv": "Guided GMV",
    "expected_orders": "Guided orders, expected",
    "expected_gmv": "Guided GMV, expected",
    "utility": "Utility, eq. (2)",
}
_BAD = {"any": "All bad cases", "irrelevant": "Irrelevant to the video", "literal": "Literal quality", "risk": "Risk"}
_IN_SLICES = ("exposure", "clicks", "ctr", "expected_orders", "utility")


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return the whole report as Markdown."""
    plan, calibration, over = report["plan"], report["calibration"], report["intervals_over"]
    control, treatment = report["control"], report["treatment"]
    days = ", ".join(map(str, report["days"]))
    exposure, ctr = calibration["exposure"], calibration["ctr"]
    embedder = report["cascade_embedder"]
    lines = [
        "# A/B test by simulation",
        "",
        f"{control} (control) against {treatment}: {plan['impressions']:,} impressions a day by "
        f"{report['viewers']:,} viewers of {report['videos']:,} videos, log days {days} of the world with seed "
        f"{report['world']['seed']}. Assumptions: docs/simulation.md. Changes are relative. 95 % intervals by "
        f"bootstrap over {over['a_b']}; those of bad cases over {over['bad_cases']}."
        + (f" {control} has the embedder {embedder}." if embedder else ""),
        "",
        f"CTR constraint: at least {calibration['ctr_floor']:.4f}. In the {calibration['impressions']:,} impressions "
        f"of the calibration {control} showed {exposure['control']:.1%} of its bars at a CTR of {ctr['control']:.4f}, "
        f"{treatment} {exposure['treatment']:.1%} at {ctr['treatment']:.4f}. On resamples of the viewers of the "
        f"calibration the exposure is {_range(calibration['exposure_interval']['control'])} and "
        f"{_range(calibration['exposure_interval']['treatment'])} (95 %). The intervals below leave this choice out; "
        "where every bar is shown there is none.",
        "",
        "## A/B, every bar of both systems shown, without the constraint",
        "",
        *markdown_table(figure_rows(report["a_b"]["every_bar"])),
        "",
        "## A/B, every impression played by both systems",
        "",
        *markdown_table(figure_rows(report["a_b"]["paired"])),
        "",
        "## A/B, viewers split by a hash",
        "",
        *markdown_table(figure_rows(report["a_b"]["split"]["figures"])),
        "",
        f"## A/A, {control} against itself, viewers split by a hash",
        "",
        *markdown_table(figure_rows(report["a_a"]["split"]["figures"])),
        "",
        f"Share of {report['a_a']['coverage']['splits']:,} A/A splits whose interval has 0 in it:",
        "",
        *markdown_table(coverage_rows(report["a_a"]["coverage"])),
        "",
        "## By age of the video and activity of the viewer, every impression played by both",
        "",
        *markdown_table(slice_rows(report["slices"])),
        "",
        "## Bad cases by rule",
        "",
        f"95 % intervals by bootstrap over the {report['videos']:,} {over['bad_cases']}.",
        "",
        f"Of all shown queries, {report['bad_cases']['control_queries']:,} of the control and "
        f"{report['bad_cases']['treatment_queries']:,} of the treatment:",
        "",
        *markdown_table(bad_case_rows(report["bad_cases"], "kinds")),
        "",
        f"Of the {report['bad_cases']['both_impressions']:,} impressions where both show a bar:",
        "",
        *markdown_table(bad_case_rows(report["bad_cases"], "kinds_both")),
        "",
    ]
    return "\n".join(lines)


def figure_rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each figure: both systems, and the change."""
    rows = [["figure, per impression (CTR: per exposure)", "control", "treatment", "change"]]
    for name, figure in figures.items():
        rows.append([NAMES[name], f"{figure['control']:.4f}", f"{figure['treatment']:.4f}", _change(figure)])
    return rows


def coverage_rows(coverage: Mapping[str, Any]) -> list[list[str]]:
    """Return the share of splits by figure."""
    return [["figure", "share"], *([NAMES[name], f"{share:.2f}"] for name, share in coverage["inside"].items())]


def slice_rows(slices: Mapping[str, Any]) -> list[list[str]]:
    """Return the changes of some figures by slice."""
    rows = [["slice", "impressions", *(NAMES[name] for name in _IN_SLICES)]]
    for part, found in slices.items():
        rows.append([part, f"{found['impressions']:,}", *(_change(found["figures"][name]) for name in _IN_SLICES)])
    return rows


def bad_case_rows(bad_cases: Mapping[str, Any], part: str) -> list[list[str]]:
    """Return the rate of each kind of bad case in `kinds` or `kinds_both`, and the difference in percentage points."""
    rows = [["kind", "control", "treatment", "difference"]]
    for kind, name in _BAD.items():
        found = bad_cases[part][kind]
        low, high = found["interval"]
        difference = f"{found['points']:+.2f} pp ({low:+.2f} to {high:+.2f})"
        rows.append([name, f"{found['control']:.2%}", f"{found['treatment']:.2%}", difference])
    return rows


def _range(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.1%} to {high:.1%}"


def _change(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['change']:+.2%} ({low:+.2%} to {high:+.2%})"
