"""Writes the figures of `onebar evaluate` into the manifest of the bundle that they were measured on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from generation.bundle import load_bundle
from model_export.errors import ExportError
from model_export.manifest import record

_RANKED = ("hr", "mrr")
_VIEWS = ("as_served", "decontaminated")
_REJECTION = ("threshold", "videos", "unsafe", "precision", "recall")


def read_report(path: Path) -> dict[str, Any]:
    """Read the JSON of `onebar evaluate --out`.

    Raises:
        ExportError: the file is not a JSON object.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ExportError(f"{path} is not JSON ({error}); make it with `onebar evaluate --out FILE`") from error
    if not isinstance(report, dict):
        raise ExportError(f"{path} is not a JSON object; make it with `onebar evaluate --out FILE`")
    return report


def record_evaluation(bundle: str | Path, report: Mapping[str, Any]) -> None:
    """Add an evaluation to a bundle's metrics, with the baselines of the same run. The model version stays as it is.

    Args:
        bundle: the bundle's folder.
        report: the JSON of `onebar evaluate --out`.

    Raises:
        BundleError: the bundle is incomplete or altered.
        ExportError: the report is about other models, or is not a report of `onebar evaluate`.
    """
    version = load_bundle(bundle).model_version
    try:
        evaluated = {entry["model_version"]: name for name, entry in report["bundles"].items()}
        if version not in evaluated:
            raise ExportError(f"the report is about {', '.join(evaluated) or 'no bundle'}, not about {version}")
        name = evaluated[version]
        rejection = report["abstention"].get(name)
        measured = {
            "clicks": report["examples"],
            "videos": report["videos"],
            "bundle": name,
            "systems_at_8": {
                system: {view: _means(views[view]) for view in _VIEWS} for system, views in report["systems"].items()
            },
            "reject": {figure: rejection[figure] for figure in _REJECTION} if rejection else None,
            **_grounding(report, name),
            "unseen": {
                world: {
                    "clicks": measures["examples"],
                    "videos": measures["videos"],
                    "systems_at_8": {
                        system: {view: _means(views[view], _RANKED) for view in _VIEWS}
                        for system, views in measures["systems"].items()
                    },
                    **_grounding(measures, name),
                }
                for world, measures in report["unseen"].items()
            },
        }
        record(bundle, "metrics", {report["split"]: measured})
    except (AttributeError, KeyError, TypeError) as error:
        raise ExportError(f"the report lacks {error}; make it with `onebar evaluate --out FILE`") from error


def _means(view: Mapping[str, Any], metrics: Collection[str] | None = None) -> dict[str, float]:
    return {
        metric: value["mean"]
        for metric, value in view.items()
        if isinstance(value, dict) and (metrics is None or metric in metrics)
    }


def _grounding(world: Mapping[str, Any], bundle: str) -> dict[str, Any]:
    """Return how far a bundle reads its source on one shop: reading recall, new targets, wrong entities if known."""
    entities = world["entities"]
    return {
        "reading_recall": {
            part: {"clicks": found["clicks"], **{system: value["mean"] for system, value in found["recall"].items()}}
            for part, found in world["reading"][bundle].items()
        },
        "new_targets": {
            part: {"clicks": found["examples"], "hr": found["hr"], "mrr": found["mrr"]}
            for part, found in world["new_targets"][bundle].items()
        },
        "wrong_entities": {
            system: {"wrong": found["wrong"]["mean"], "answered": found["answered"]}
            for system, found in entities.items()
        }
        if entities
        else None,
    }
