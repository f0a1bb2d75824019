"""Writing manifest.json: when a bundle is made, and when figures are recorded later."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from generation.bundle import FILES, MANIFEST, POINTER, SCHEMA_VERSION, content_version, file_sha256, load_bundle
from model_export.checkpoint import Checkpoint
from model_export.embedder import BundleEmbedder
from model_export.errors import ExportError
from model_export.pointer import pointer_section

# Sections that do not change answers, and so are not part of the model version.
RECORDABLE = ("training", "metrics", "parity")


def write_manifest(
    folder: Path, checkpoint: Checkpoint, precision: str, command: str, embedder: BundleEmbedder | None = None
) -> None:
    """Write the manifest of a folder whose other files are complete."""
    pointer = pointer_section(checkpoint)
    names = [*FILES, *([POINTER] if pointer else ()), *(embedder.contents if embedder else ())]
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "model_version": "",
        "precision": precision,
        "files": {
            name: {"sha256": file_sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in names
        },
        "special_tokens": asdict(checkpoint.special_tokens),
        "architecture": asdict(checkpoint.architecture),
        "render": checkpoint.render_budgets.to_dict(),
        "generation": checkpoint.generation.to_dict(),
        "reject": {"threshold": checkpoint.reject_threshold},
        **({"embedder": dict(embedder.section)} if embedder else {}),
        **pointer,
        "training": checkpoint.training,
        "metrics": checkpoint.metrics,
        "parity": {},
        "created_with": command,
    }
    manifest["model_version"] = content_version(manifest)
    _write(folder, manifest)


def record(bundle: str | Path, section: str, values: Mapping[str, Any]) -> None:
    """Add measured values to a section of a bundle's manifest; the model version stays as it is.

    Args:
        bundle: the bundle's folder; it is verified first.
        section: "metrics", "parity" or "training".
        values: JSON values by name; names that the section has already are replaced.

    Raises:
        BundleError: the bundle is incomplete or altered.
        ExportError: another section was named.
    """
    if section not in RECORDABLE:
        raise ExportError(f"{section!r} is part of the model version; recordable are {', '.join(RECORDABLE)}")
    loaded = load_bundle(bundle)
    manifest = dict(loaded.manifest)
    manifest[section] = {**manifest.get(section, {}), **values}
    _write(loaded.path, manifest)


def _write(folder: Path, manifest: Mapping[str, Any]) -> None:
    partial = folder / f".{MANIFEST}.partial"
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, folder / MANIFEST)
