"""The folder of an embedder: writing one after training, and reading one of any kind.

The static kind is described in `evidence.static_embedder`, which serving shares. The transformer kind has the same
manifest beside a folder `model/`, a model of sentence-transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evidence.embedder import HashedEmbedder
from evidence.errors import EmbedderError
from evidence.static_embedder import (
    FORMAT,
    KIND,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    VECTORS_FILE,
    StaticEmbedder,
    content_version,
    file_entry,
    load_static_embedder,
    read_manifest,
)
from offline.arrays import Matrix
from offline.embedder.kept_vectors import KeptVectors
from offline.embedder.vectors import Embedder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KEPT_FILE = "kept_vectors.parquet"
"""In the folder of a transformer: the vectors of texts that were embedded before."""

_INT8_MAX = 127


def load_embedder(folder: Path | None) -> Embedder:
    """Return the embedder of a folder, or the hashed one if there is no folder.

    Raises:
        EmbedderError: the folder cannot be used.
    """
    if folder is None:
        return HashedEmbedder()
    if read_manifest(folder)["kind"] == KIND:
        return load_static_embedder(folder)
    from offline.embedder.transformer import load_transformer  # torch is imported for this kind alone

    return KeptVectors(load_transformer(folder), folder / KEPT_FILE)


def write_static_embedder(
    folder: Path, tokenizer: Tokenizer, weights: Matrix, details: Mapping[str, Any]
) -> StaticEmbedder:
    """Write the folder of a static embedder and return what serving will load from it.

    Args:
        folder: it is created when it is missing.
        tokenizer: its ids are rows of `weights`.
        weights: float32 [vocabulary, d], trained token vectors.
        details: how it was trained, for the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole, scales = quantise_rows(weights)
    contents = {
        TOKENIZER_FILE: tokenizer.to_str(pretty=False).encode(),
        VECTORS_FILE: whole.tobytes() + scales.astype("<f4").tobytes(),
    }
    vocabulary, dimension = weights.shape
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    write_manifest(
        folder,
        {
            "format": FORMAT,
            "kind": KIND,
            "version": content_version(KIND, dimension, list(contents.values())),
            "dimension": dimension,
            "vocabulary_size": vocabulary,
            "tuned": {},
            "files": {name: file_entry(content) for name, content in contents.items()},
            "details": dict(details),
        },
    )
    return load_static_embedder(folder)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write embedder.json."""
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def write_tuned(folder: Path, tuned: Mapping[str, float]) -> None:
    """Write settings that were chosen for the space of an embedder into its manifest; its version stays.

    Raises:
        EmbedderError: the folder has no manifest.
    """
    manifest = read_manifest(folder)
    write_manifest(folder, {**manifest, "tuned": {**manifest["tuned"], **tuned}})


def quantise_rows(weights: Matrix) -> tuple[np.ndarray[Any, np.dtype[np.int8]], Matrix]:
    """Return int8 [n, d] and float32 [n], whose products are within half a step of each row's range.

    Raises:
        EmbedderError: a weight is not finite.
    """
    if not np.isfinite(weights).all():
        raise EmbedderError("training diverged: a token vector is not finite; lower the learning rate")
    scales = np.abs(weights).max(axis=1) / _INT8_MAX  # [n]
    safe = np.where(scales > 0, scales, 1).astype(np.float32)
    whole = np.rint(weights / safe[:, None]).astype(np.int8)
    return whole, scales.astype(np.float32)
