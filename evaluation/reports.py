"""The result of an evaluation as markdown and as a short form for the terminal."""

from __future__ import annotations

from typing import Any

from evaluation.report_tables import (
    difference_rows,
    entity_rows,
    markdown_table,
    metric_rows,
    new_target_rows,
    overview_rows,
    reading_rows,
    relevance_rows,
    slice_difference_rows,
    slice_rows,
    text_table,
)

VIEW_TITLES = {
    "as_served": "As served",
    "decontaminated": "Decontaminated: anchors and histories that contain the target are removed",
    "decontaminated_personal": "Decontaminated, past queries of the user too",
}
_OVERVIEW = "All systems"
_SHORT = {"as_served": "as served", "decontaminated": "decontaminated"}
_RELEVANCE = "Relevance to the video, of the clicks with an answer (as served)"
_READING = (
    "Reading recall of {}: of the clicks whose target stands in its source, the share answered in the first eight"
)
_NEW_TARGETS = "Targets new to training, HR@8 / MRR@8"
_ENTITIES = "Wrong entities: shares of queries that name a brand, model or type that is not the video's"


def to_markdown(report: dict[str, Any]) -> str:
    """Return the whole report as markdown."""
    lines = ["# Evaluation", ""]
    if report["judge"] is not None:
        lines += [f"SR by the judge `{report['judge']['model']}`: {report['judge']['state']}.", ""]
    lines += [_embedder(report), "", *_world_markdown(report)]
    for name, abstention in report["abstention"].items():
        lines += [f"## Abstention of {name}", "", *_abstention(abstention), ""]
    for name, world in report["unseen"].items():
        lines += [f"# Unseen world {name}", "", _embedder(world, report), "", *_world_markdown(world)]
    return "\n".join(lines)


def to_text(report: dict[str, Any]) -> str:
    """Return the short form for the terminal."""
    lines = [_embedder(report), *_world_text(report)]
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
    for name, world in report["unseen"].items():
        lines += ["", f"Unseen world {name}", _embedder(world, report), *_world_text(world)]
    return "\n".join(lines)


def relevance_text(report: dict[str, Any]) -> str:
    """Return the tables with the grades of the judge, for the terminal."""
    lines = ["", _RELEVANCE, *text_table(relevance_rows(report))]
    for name, world in report["unseen"].items():
        lines += ["", f"Unseen world {name}", *text_table(relevance_rows(world))]
    return "\n".join(lines)


def _embedder(world: dict[str, Any], own: dict[str, Any] | None = None) -> str:
    """Return which embedder the figures of a shop are made with; `own` is the report of the own shop."""
    said = f"ANN, MCA and BAS use the embedder {world['embedder']}"
    if own is None or own["embedder"] != world["embedder"]:
        return f"{said}."
    return f"{said}, the same as for the own shop. Give --embedder again for one that learned from this shop."


def _world_markdown(world: dict[str, Any]) -> list[str]:
    lines = [
        f"{world['examples']:,} clicks on {world['videos']:,} videos of the held-out day; "
        "95 % intervals by bootstrap over videos.",
        "",
    ]
    lines += [
        line for name, reason in world["not_measured"].items() for line in (f"{name} is not measured: {reason}", "")
    ]
    lines += [f"## {_OVERVIEW}", "", *markdown_table(overview_rows(world)), ""]
    for view, title in VIEW_TITLES.items():
        lines += [f"## {title}", "", *markdown_table(metric_rows(world, view)), ""]
    for view, differences in world["differences"].items():
        if differences:
            title = f"## Paired differences, {_SHORT[view]}"
            lines += [title, "", *markdown_table(difference_rows(world, view)), ""]
    lines += [f"## {_RELEVANCE}", "", *markdown_table(relevance_rows(world)), ""]
    for name, reading in world["reading"].items():
        lines += [f"## {_READING.format(name)}", "", *markdown_table(reading_rows(reading)), ""]
    lines += [f"## {_NEW_TARGETS}", "", *markdown_table(new_target_rows(world)), ""]
    if world["entities"]:
        lines += [f"## {_ENTITIES}", "", *markdown_table(entity_rows(world["entities"])), ""]
    lines += ["## Slices, HR@8 (as served)", "", *markdown_table(slice_rows(world)), ""]
    if world["differences"]["as_served"]:
        lines += [
            "## Slices, paired differences in HR@8 (as served)",
            "",
            *markdown_table(slice_difference_rows(world)),
        ]
        lines.append("")
    return lines


def _world_text(world: dict[str, Any]) -> list[str]:
    lines = [f"{world['examples']:,} clicks on {world['videos']:,} videos; 95 % intervals over videos"]
    lines += [f"{name} is not measured: {reason}" for name, reason in world["not_measured"].items()]
    for view, differences in world["differences"].items():
        lines += ["", VIEW_TITLES[view], *text_table(metric_rows(world, view))]
        if differences:
            lines += [
                "",
                f"Paired differences, {_SHORT[view]}",
                *text_table(difference_rows(world, view), intervals=True),
            ]
    lines += ["", _OVERVIEW, *text_table(overview_rows(world)), "", _RELEVANCE, *text_table(relevance_rows(world))]
    for name, reading in world["reading"].items():
        lines += ["", _READING.format(name), *text_table(reading_rows(reading))]
    lines += ["", _NEW_TARGETS, *text_table(new_target_rows(world))]
    if world["entities"]:
        lines += ["", _ENTITIES, *text_table(entity_rows(world["entities"]))]
    return lines


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
        *markdown_table(curve),
        "",
        *markdown_table(parts),
    ]
