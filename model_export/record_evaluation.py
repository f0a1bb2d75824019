"""Writes the figures of `onebar evaluate` into the manifest of the bundle that they were measured on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generation.bundle import load_bundle
from model_export.errors import ExportError
from model_export.manifest import record

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
        rejection = report["abstention"].get(evaluated[version])
        measured = {
            "clicks": report["examples"],
            "videos": report["videos"],
            "bundle": evaluated[version],
            "systems_at_8": {
                name: {view: _means(views[view]) for view in _VIEWS} for name, views in report["systems"].items()
            },
            "reject": {name: rejection[name] for name in _REJECTION} if rejection else None,
        }
        record(bundle, "metrics", {report["split"]: measured})
    except (AttributeError, KeyError, TypeError) as error:
        raise ExportError(f"the report lacks {error}; make it with `onebar evaluate --out FILE`") from error


def _means(view: Mapping[str, Any]) -> dict[str, float]:
    return {metric: value["mean"] for metric, value in view.items() if isinstance(value, dict)}
