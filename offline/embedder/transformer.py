"""The transformer kind: any local model of sentence-transformers, fine-tuned or as it is.

Offline only. Serving needs no torch: it reads the vectors of videos and of past queries from the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from evidence.embedder import TRANSFORMER as KIND
from evidence.embedding import MAX_EMBEDDED_CHARACTERS
from evidence.errors import EmbedderError
from evidence.static_embedder import FORMAT, content_version, read_manifest
from offline.arrays import Matrix
from offline.embedder.folder import write_manifest
from offline.errors import SettingsError

MODEL_FOLDER = "model"
_BATCH = 64


class TransformerEmbedder:
    """A model of sentence-transformers as an embedder."""

    def __init__(
        self, model: SentenceTransformer, dimension: int, query_prompt: str, version: str, tuned: Mapping[str, float]
    ) -> None:
        """Keep the parts of an embedder.

        Args:
            model: its first `dimension` numbers are a vector.
            dimension: of a vector.
            query_prompt: what the model reads before each query.
            version: the name of the vector space.
            tuned: settings of the evidence that were chosen for this space, by name.
        """
        self._model = model
        self._dimension = dimension
        self._query_prompt = query_prompt
        self.version = version
        self.tuned = dict(tuned)

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension]: rows of length 1, zeros for an empty text. Equal texts are encoded once."""
        return self._encode(texts, "")

    def embed_queries(self, queries: Sequence[str]) -> Matrix:
        """Return the same for queries, read after the prompt."""
        return self._encode(queries, self._query_prompt)

    def _encode(self, texts: Sequence[str], prompt: str) -> Matrix:
        vectors = np.zeros((len(texts), self._dimension), np.float32)
        distinct = {text: place for place, text in enumerate(dict.fromkeys(text for text in texts if text.strip()))}
        if not distinct:
            return vectors
        encoded: Matrix = np.asarray(
            self._model.encode(
                [text[:MAX_EMBEDDED_CHARACTERS] for text in distinct],
                prompt=prompt or None,
                batch_size=_BATCH,
                show_progress_bar=False,
                truncate_dim=self._dimension,
            ),
            np.float32,
        )  # [distinct, d]
        norms = np.linalg.norm(encoded, axis=1, keepdims=True)
        np.divide(encoded, norms, out=encoded, where=norms > 0)
        known = [row for row, text in enumerate(texts) if text in distinct]
        vectors[known] = encoded[[distinct[texts[row]] for row in known]]
        return vectors


def open_model(path: Path, dimension: int) -> SentenceTransformer:
    """Return a local model of sentence-transformers.

    Raises:
        SettingsError: the folder has no such model, or its vectors are shorter than `dimension`.
    """
    try:
        model: SentenceTransformer = SentenceTransformer(str(path), local_files_only=True)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} is no model of sentence-transformers: {error}") from error
    own = model.get_embedding_dimension() or 0
    if own < dimension:
        raise SettingsError(f"the vectors of {path} have {own} dimensions; give --dimension {own} or less")
    return model


def write_transformer(
    folder: Path, model: SentenceTransformer, dimension: int, query_prompt: str, details: Mapping[str, Any]
) -> TransformerEmbedder:
    """Write the folder of a transformer embedder: the model, and the manifest with the hash of each of its files.

    Args:
        folder: it is created when it is missing.
        model: of sentence-transformers.
        dimension: of a vector; the first numbers of the model's own.
        query_prompt: what the model reads before each query.
        details: how it was trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save(str(folder / MODEL_FOLDER), create_model_card=False)
    files = _hashes(folder)
    version = _version(files, dimension, query_prompt)
    write_manifest(
        folder,
        {
            "format": FORMAT,
            "kind": KIND,
            "version": version,
            "dimension": dimension,
            "query_prompt": query_prompt,
            "tuned": {},
            "files": files,
            "details": dict(details),
        },
    )
    return TransformerEmbedder(model, dimension, query_prompt, version, {})


def load_transformer(folder: Path) -> TransformerEmbedder:
    """Read the folder of a transformer embedder.

    Raises:
        EmbedderError: a file is missing, or is not what the manifest says.
    """
    manifest = read_manifest(folder)
    dimension, query_prompt = manifest.get("dimension"), manifest.get("query_prompt")
    if manifest["kind"] != KIND or type(dimension) is not int or dimension < 1 or not isinstance(query_prompt, str):
        raise EmbedderError(f"the manifest of {folder} is not that of a {KIND} embedder")
    files = _hashes(folder)
    if files != manifest["files"]:
        differing = sorted(set(files.items()) ^ set(manifest["files"].items()))[0][0]
        raise EmbedderError(
            f"{folder / differing} is not the file that the manifest names; copy the whole folder again"
        )
    if manifest["version"] != (version := _version(files, dimension, query_prompt)):
        raise EmbedderError(f"{folder} names the version {manifest['version']!r}, but its files are {version}")
    model = open_model(folder / MODEL_FOLDER, dimension)
    return TransformerEmbedder(model, dimension, query_prompt, version, manifest["tuned"])


def _hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of the model by its path."""
    files = {}
    for path in sorted((folder / MODEL_FOLDER).rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                files[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return files


def _version(files: Mapping[str, str], dimension: int, query_prompt: str) -> str:
    named = [f"{name} {digest}".encode() for name, digest in sorted(files.items())]
    return content_version(KIND, dimension, [*named, query_prompt.encode()])
