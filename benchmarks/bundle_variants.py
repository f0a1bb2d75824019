"""Bundles that differ from another one in a few values of their manifest, and so have another model version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generation.bundle.files import MANIFEST, content_version


def bundle_variant(source: Path, target: Path, changes: Mapping[str, Mapping[str, Any]]) -> Path:
    """Copy a bundle, with other values in its manifest.

    Args:
        source: the folder of the bundle.
        target: the folder to write; it must not be there.
        changes: new values by section and key, such as ``{"reject": {"threshold": 0.4}}``.

    Returns:
        ``target``. Its model version fits its content.
    """
    shutil.copytree(source, target)
    path = target / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    for section, values in changes.items():
        manifest[section] |= values
    manifest["model_version"] = content_version(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return target
