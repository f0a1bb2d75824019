"""The embedder that goes into a bundle: what its manifest says, and the files of the static kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.embedder import TRANSFORMER, Embedder, StoredVectors
from evidence.static_embedder import KIND as STATIC
from evidence.static_embedder import MAX_DIMENSION, load_static_embedder, read_manifest
from generation.bundle import EMBEDDER_FILES, EMBEDDER_FOLDER, MOST_BYTES, embedder_section
from model_export.errors import ExportError


@dataclass(frozen=True, slots=True)
class BundleEmbedder:
    """An embedder as a bundle has it.

    Attributes:
        section: of the bundle's manifest.
        contents: the files by their names in the bundle; none for the transformer kind, whose model stays offline.
    """

    section: Mapping[str, Any]
    contents: Mapping[str, bytes]


def read_bundle_embedder(folder: Path) -> BundleEmbedder:
    """Read the folder that `onebar offline embedder` wrote.

    Raises:
        EmbedderError: the folder cannot be used.
        ExportError: it is of an unknown kind, or too large for a bundle.
    """
    manifest = read_manifest(folder)
    kind = manifest["kind"]
    if kind == TRANSFORMER:
        dimension = manifest.get("dimension")
        if type(dimension) is not int or not 1 <= dimension <= MAX_DIMENSION:
            raise ExportError(f"{folder}: a bundle takes vectors of 1 to {MAX_DIMENSION} dimensions, not {dimension!r}")
        embedder: Embedder = StoredVectors(manifest["version"], dimension, manifest["tuned"])
        return BundleEmbedder(embedder_section(kind, embedder), {})
    if kind != STATIC:
        raise ExportError(f"{folder} has an embedder of the kind {kind!r}; a bundle takes {STATIC} and {TRANSFORMER}")
    embedder = load_static_embedder(folder)
    contents = {name: (folder / name.removeprefix(f"{EMBEDDER_FOLDER}/")).read_bytes() for name in EMBEDDER_FILES}
    for name, content in contents.items():
        if len(content) > MOST_BYTES[name]:
            raise ExportError(
                f"{folder}: {name} has {len(content)} bytes and a bundle takes {MOST_BYTES[name]}; train an embedder "
                "with a smaller --dimension or --vocabulary-size"
            )
    return BundleEmbedder(embedder_section(kind, embedder), contents)
