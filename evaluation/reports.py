"""The result of an evaluation as markdown and as a table for the terminal."""

from __future__ import annotations

from typing import Any

from evaluation.metrics import METRICS

TITLES = {"hr": "HR@8", "mrr": "MRR@8", "ed_hr": "ED-HR@8", "ed": "ED@8", "bleu": "BLEU@8"}
VIEW_TITLES = {
    "as_served": "As served",
    "decontaminated": "Decontaminated: anchors and histories that contain the target are removed",
    "decontaminated_personal": "Decontaminated, past queries of the user too",
}


def to_markdown(report: dict[str, Any]) -> str:
    """Return the whole report as markdown."""
    lines = [
        "# Evaluation",
        "",
        f"{report['examples']:,} clicks on {report['videos']:,} videos of the held-out day; "
        "95 % intervals by bootstrap over videos.",
        "",
    ]
    for view, title in VIEW_TITLES.items():
        lines += [f"## {title}", "", *_table(_metric_rows(report, view)), ""]
    if report["differences"]:
        lines += ["## Differences in HR@8 (decontaminated)", "", *_table(_difference_rows(report)), ""]
    lines += ["## Slices, HR@8 (as served)", "", *_table(_slice_rows(report)), ""]
    for name, abstention in report["abstention"].items():
        lines += [f"## Abstention of {name}", "", *_abstention(abstention), ""]
    return "\n".join(lines)


def to_text(report: dict[str, Any]) -> str:
    """Return the short form for the terminal."""
    lines = [f"{report['examples']:,} clicks on {report['videos']:,} videos; 95 % intervals over videos"]
    for view in ("as_served", "decontaminated"):
        lines += ["", VIEW_TITLES[view], *_aligned(_metric_rows(report, view))]
    for name, abstention in report["abstention"].items():
        low_p, high_p = abstention["intervals"]["precision"]
        low_r, high_r = abstention["intervals"]["recall"]
        lines += [
            "",
            f"[REJECT] of {name} at {abstention['threshold']:g} on {abstention['videos']:,} videos, "
            f"{abstention['unsafe']:,} unsafe: precision {abstention['precision']:.3f} ({low_p:.3f}-{high_p:.3f}), "
            f"recall {abstention['recall']:.3f} ({low_r:.3f}-{high_r:.3f}), "
            f"false abstention {abstention['false_abstention']:.4f}",
        ]
    return "\n".join(lines)


def _metric_rows(report: dict[str, Any], view: str) -> list[list[str]]:
    rows = [["system", *TITLES.values(), "no answer"]]
    for name, system in report["systems"].items():
        outcome = system[view]
        rows.append([name, *(_figure(outcome[metric]) for metric in METRICS), f"{outcome['empty']:.3f}"])
    return rows


def _difference_rows(report: dict[str, Any]) -> list[list[str]]:
    rows = [["difference", *TITLES.values()]]
    for name, difference in report["differences"].items():
        rows.append([name, *(_figure(difference[metric]) for metric in METRICS)])
    return rows


def _slice_rows(report: dict[str, Any]) -> list[list[str]]:
    names = list(report["systems"])
    sizes: dict[str, int] = {}
    for system in report["systems"].values():
        sizes.update({name: part["examples"] for name, part in system["slices"].items()})
    rows = [["slice", "examples", *names]]
    for part, size in sizes.items():
        rows.append([part, f"{size:,}", *(f"{report['systems'][name]['slices'][part]['hr']:.3f}" for name in names)])
    return rows


def _abstention(abstention: dict[str, Any]) -> list[str]:
    low_p, high_p = abstention["intervals"]["precision"]
    low_r, high_r = abstention["intervals"]["recall"]
    curve = [["threshold", "precision", "recall", "false abstention"]]
    curve += [
        [
            f"{point['threshold']:g}",
            *(f"{point[key]:.3f}" for key in ("precision", "recall")),
            f"{point['false_abstention']:.4f}",
        ]
        for point in abstention["curve"]
    ]
    parts = [["category", "unsafe", "recall"]]
    parts += [
        [name, str(part["unsafe"]), f"{part['recall']:.3f}"] for name, part in abstention["recall_by_category"].items()
    ]
    new = abstention["new_videos"]
    return [
        f"{abstention['videos']:,} videos of the held-out day, {abstention['unsafe']:,} of them unsafe. At the "
        f"bundle's threshold {abstention['threshold']:g}: precision {abstention['precision']:.3f} "
        f"({low_p:.3f} to {high_p:.3f}), recall {abstention['recall']:.3f} ({low_r:.3f} to {high_r:.3f}), "
        f"{abstention['false_abstention']:.2%} of safe videos without a bar. On videos created on that day, "
        f"{new['unsafe']:,} of them unsafe: precision {new['precision']:.3f}, recall {new['recall']:.3f}.",
        "",
        *_table(curve),
        "",
        *_table(parts),
    ]


def _figure(value: dict[str, Any]) -> str:
    low, high = value["interval"]
    return f"{value['mean']:.3f} ({low:.3f} to {high:.3f})"


def _table(rows: list[list[str]]) -> list[str]:
    """Return a markdown table; the first row is its head."""
    head, *body = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *body)]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Return columns padded for a terminal, without intervals."""
    short = [[cell.split(" (")[0] for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in short) for column in range(len(short[0]))]
    return [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in short
    ]
