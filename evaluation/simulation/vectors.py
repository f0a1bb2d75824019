"""The vectors by which personal queries are chosen: made by the embedder of a bundle, or those of the day's files.

A bundle with a transformer has no model to embed texts with. As in serving, the vectors are then the stored ones, which
`onebar offline evidence` and `onebar offline users` write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.errors import InputError
from evaluation.inputs import read_parquet
from evidence.embedder import Embedder
from evidence.embedding import Matrix

_VERSION = "embedding_version"


def embed_lists(embedder: Embedder, texts: Mapping[str, Sequence[str]]) -> dict[str, Matrix]:
    """Return the vectors of the texts of each video or viewer, float32 [texts, d].

    Args:
        embedder: one that embeds texts.
        texts: by video or viewer.
    """
    vectors = embedder.embed([text for each in texts.values() for text in each])
    ends = np.cumsum([len(each) for each in texts.values()], dtype=np.int64)
    return dict(zip(texts, np.split(vectors, ends)[:-1], strict=True))


def stored_vectors(
    path: Path, columns: tuple[str, str], wanted: Collection[str], embedder: Embedder
) -> dict[str, Matrix]:
    """Return the vectors that a file has of videos or viewers, float32 [n, d]; those without a known text have none.

    Args:
        path: file of `onebar offline evidence` or `onebar offline users`.
        columns: of the ids, and of the vectors, which are fp16 and row after row.
        wanted: ids.
        embedder: its version and dimension are those that the vectors must have.

    Raises:
        InputError: the file has no vectors, or those of another embedder.
    """
    again = "make the evidence of the day again with `--embedder` of the bundle and without --no-embeddings"
    if not {columns[1], _VERSION} <= set(pq.read_schema(path).names):
        raise InputError(
            f"{path} has no vectors, and the bundle has no model of its embedder {embedder.version}; {again}"
        )
    table = read_parquet(path, (*columns, _VERSION), where=rows_of(columns[0], wanted))
    for version in pc.unique(pc.drop_null(table[_VERSION])).to_pylist():
        if version != embedder.version:
            raise InputError(f"{path} has vectors of {version}, and the bundle those of {embedder.version}; {again}")
    found = {}
    for identifier, value in zip(*(table[column].to_pylist() for column in columns), strict=True):
        if value is not None:
            found[identifier] = np.frombuffer(value, "<f2").astype(np.float32).reshape(-1, embedder.dimension)
    return found


def rows_of(column: str, wanted: Collection[str]) -> pc.Expression:
    """Return the condition that a column of texts is one of the wanted ones."""
    return pc.field(column).isin(pa.array(list(wanted), pa.string()))
