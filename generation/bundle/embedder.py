"""The embedder of a bundle: a section of the manifest, and for the static kind three files in `embedder/`.

The section decides which stored vectors serving compares, and from which similarity. A bundle without it has the hashed
embedder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evidence.embedder import TRANSFORMER, Embedder, HashedEmbedder, StoredVectors
from evidence.errors import EmbedderError
from evidence.static_embedder import KIND as STATIC
from evidence.static_embedder import MAX_DIMENSION, is_tuned, load_static_embedder
from generation.bundle.files import EMBEDDER_FILES, EMBEDDER_FOLDER, EXPORT_AGAIN, MANIFEST, one_line, read_file
from generation.errors import BundleError

_KEYS = {"kind", "version", "dimension", "tuned"}
_VERSION = re.compile(r"[0-9a-f]{16}")


def embedder_section(kind: str, embedder: Embedder) -> dict[str, Any]:
    """Return what the manifest of a bundle says about its embedder."""
    return {
        "kind": kind,
        "version": embedder.version,
        "dimension": embedder.dimension,
        "tuned": dict(embedder.tuned),
    }


def check_embedder_section(manifest: Mapping[str, Any]) -> None:
    """Check the section, where there is one, and that the files of an embedder are listed if and only if it needs them.

    Raises:
        BundleError: it has another form.
    """
    section = manifest.get("embedder")
    if section is not None or "embedder" in manifest:
        if not isinstance(section, dict) or set(section) != _KEYS:
            raise BundleError(f"embedder must have exactly the keys {sorted(_KEYS)}")
        kind, version, dimension = section["kind"], section["version"], section["dimension"]
        if kind not in (STATIC, TRANSFORMER):
            raise BundleError(f"embedder.kind must be {STATIC} or {TRANSFORMER}")
        head, _, digits = version.partition("-") if isinstance(version, str) else ("", "", "")
        if head != kind or not _VERSION.fullmatch(digits):
            raise BundleError(f"embedder.version must be {kind}- and 16 hex digits")
        if type(dimension) is not int or not 1 <= dimension <= MAX_DIMENSION:
            raise BundleError(f"embedder.dimension must be a whole number from 1 to {MAX_DIMENSION}")
        if not is_tuned(section["tuned"]):
            raise BundleError("embedder.tuned must have a number from -1 to 1 for each name")
    listed = set(EMBEDDER_FILES) <= set(manifest["files"])
    if listed != (section is not None and section["kind"] == STATIC):
        raise BundleError(f"files of {EMBEDDER_FOLDER}/ are listed if and only if embedder.kind is {STATIC}")


def read_embedder(folder: Path, manifest: Mapping[str, Any]) -> Embedder:
    """Return the embedder of a bundle whose section was checked.

    Raises:
        BundleError: a file is missing, altered or of another form, or the section says something else.
    """
    section = manifest.get("embedder")
    if section is None:
        return HashedEmbedder()
    if section["kind"] == TRANSFORMER:
        return StoredVectors(section["version"], section["dimension"], section["tuned"])
    for name in EMBEDDER_FILES:
        read_file(folder, name, manifest)
    try:
        embedder = load_static_embedder(folder / EMBEDDER_FOLDER)
    except EmbedderError as error:
        raise BundleError(f"{one_line(error)}; {EXPORT_AGAIN}") from error
    if embedder_section(STATIC, embedder) != section:
        raise BundleError(f"{folder / EMBEDDER_FOLDER} is not the embedder that {MANIFEST} describes; {EXPORT_AGAIN}")
    return embedder
