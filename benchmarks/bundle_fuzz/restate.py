"""Writing a changed bundle's hashes and model version anew, so that they do not hide the change."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from generation.bundle import EMBEDDER_FILES, FILES, MANIFEST, POINTER, content_version, file_sha256


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle that was not changed yet."""
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def restate(folder: Path, manifest: Any, *, files: bool = True) -> None:
    """Write a manifest with the sizes and hashes of the files as they are, and the model version that follows.

    A manifest that is too broken to hold them is written as it is. Without `files`, only the version is made anew.
    """
    with contextlib.suppress(Exception):
        for name in (*FILES, POINTER, *EMBEDDER_FILES) if files else ():
            if name in manifest["files"] and (folder / name).is_file():
                entry = {"sha256": file_sha256(folder / name), "bytes": (folder / name).stat().st_size}
                manifest["files"][name] = entry
    with contextlib.suppress(Exception):
        manifest["model_version"] = content_version(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
