"""Vectors of a slow embedder, kept in a file, so that only new or changed texts are embedded again.

A text is known by its hash, and a file belongs to one version of an embedder: vectors of another version are dropped.
The file is replaced as a whole, so a job that is stopped leaves the one before.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from offline.arrays import Matrix
from offline.embedder.vectors import Embedder

_VIDEO, _QUERY = b"v", b"q"
_VERSION_KEY = b"version"
_KEY_BYTES = 16


class KeptVectors:
    """An embedder that remembers its vectors in a file."""

    def __init__(self, embedder: Embedder, path: Path) -> None:
        """Read the file if there is one; a damaged one, or one of another version, is replaced by the next call."""
        self._embedder = embedder
        self._path = path
        self._kept: dict[bytes, bytes] = _read(path, embedder.version)

    @property
    def version(self) -> str:
        """The version of the embedder."""
        return self._embedder.version

    @property
    def tuned(self) -> Mapping[str, float]:
        """The tuned settings of the embedder."""
        return self._embedder.tuned

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of the embedder; texts that are not in the file are embedded and added to it."""
        return self._vectors(_VIDEO, texts, self._embedder.embed)

    def embed_queries(self, queries: Sequence[str]) -> Matrix:
        """Return the same for queries."""
        return self._vectors(_QUERY, queries, self._embedder.embed_queries)

    def _vectors(self, side: bytes, texts: Sequence[str], encode: Callable[[Sequence[str]], Matrix]) -> Matrix:
        keys = [
            hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=side, digest_size=_KEY_BYTES).digest()
            for text in texts
        ]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._kept}
        if missing:
            vectors = encode(list(missing.values())).astype("<f4")
            self._kept |= {key: vector.tobytes() for key, vector in zip(missing, vectors, strict=True)}
            self._write()
        if not keys:
            return encode([])
        joined = b"".join(self._kept[key] for key in keys)
        return np.frombuffer(joined, "<f4").reshape(len(keys), -1).astype(np.float32)

    def _write(self) -> None:
        schema = pa.schema([("key", pa.binary()), ("vector", pa.binary())], {_VERSION_KEY: self.version.encode()})
        table = pa.table({"key": list(self._kept), "vector": list(self._kept.values())}, schema=schema)
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        pq.write_table(table, partial, compression="none", use_dictionary=False)
        partial.replace(self._path)


def _read(path: Path, version: str) -> dict[bytes, bytes]:
    try:
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(_VERSION_KEY) != version.encode():
            return {}
        return dict(zip(table["key"].to_pylist(), table["vector"].to_pylist(), strict=True))
    except (OSError, pa.ArrowException, KeyError):
        return {}
