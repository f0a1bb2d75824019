"""Evidence rows and user rows for the feature store, in the form that `onebar evidence load` reads.

Files are Parquet, or gzipped JSON lines when the name ends in `.jsonl.gz`. Embeddings are raw bytes in Parquet and
base64 in JSON (feature_store/FORMAT.md, "Rows").
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evidence.rows import TEXT_FIELDS
from feature_store.rows import vector_bytes
from offline.arrays import IntArray, Matrix
from offline.errors import SettingsError
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.ranked import RankedQueries
from offline.logs.schema import MILLISECONDS_PER_DAY

EVIDENCE_SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        *((name, pa.string()) for name in TEXT_FIELDS),
        ("summary", pa.string()),
        ("anchors", pa.list_(pa.string())),
        ("histories", pa.list_(pa.string())),
        ("category", pa.string()),
        ("embedding", pa.binary()),
        ("embedding_version", pa.string()),
        ("updated_at", pa.int64()),
    ]
)

USER_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("queries", pa.list_(pa.string())),
        ("embeddings", pa.binary()),
        ("embedding_version", pa.string()),
        ("updated_at", pa.int64()),
    ]
)


def evidence_table(embedded: EmbeddedLogs, as_of_day: int, photos: IntArray | None = None) -> pa.Table:
    """Return the evidence rows of videos at the start of `as_of_day`.

    Args:
        embedded: the logs with their vectors.
        as_of_day: only the days before it are used.
        photos: photo codes; every video created on or before that day when None.

    Raises:
        SettingsError: the logs cannot give evidence for that day.
    """
    logs = embedded.logs
    logs.check_day(as_of_day)
    if photos is None:
        photos = np.flatnonzero(logs.videos["created_day"].to_numpy() <= as_of_day)
    anchors, histories = embedded.collaborative(photos, as_of_day)
    videos = logs.videos.take(pa.array(photos))
    vectors = embedded.video_vectors[photos]
    known = [bool(row.any()) for row in vectors]
    columns = {
        **{name: videos[name] for name in ("photo_id", *TEXT_FIELDS, "summary", "category")},
        "anchors": anchors.to_strings(logs.queries),
        "histories": histories.to_strings(logs.queries),
        "embedding": pa.array(
            [vector_bytes(row) if has else None for row, has in zip(vectors, known, strict=True)], pa.binary()
        ),
        "embedding_version": pa.array([embedded.embedding_version if has else None for has in known], pa.string()),
        "updated_at": pa.repeat(_updated_at(embedded, as_of_day), len(photos)),
    }
    return pa.table({name: columns[name] for name in EVIDENCE_SCHEMA.names}, schema=EVIDENCE_SCHEMA)


def user_table(embedded: EmbeddedLogs, as_of_day: int) -> pa.Table:
    """Return the past queries of every user that has any, newest first, with their vectors (fp16, row by row).

    Raises:
        SettingsError: the logs cannot give evidence for that day.
    """
    logs = embedded.logs
    logs.check_day(as_of_day)
    pasts = embedded.user_histories(as_of_day)
    users = np.flatnonzero(pasts.lengths > 0)
    pasts = pasts.take(users)
    columns = {
        "user_id": logs.user_ids.take(pa.array(users)),
        "queries": pasts.to_strings(logs.queries),
        "embeddings": pa.array(_vectors_of(pasts, embedded.query_vectors), pa.binary()),
        "embedding_version": pa.repeat(embedded.embedding_version, len(users)),
        "updated_at": pa.repeat(_updated_at(embedded, as_of_day), len(users)),
    }
    return pa.table(columns, schema=USER_SCHEMA)


def write_rows(table: pa.Table, path: Path) -> None:
    """Write rows as Parquet (`.parquet`) or gzipped JSON lines (`.jsonl.gz`). The same rows give the same bytes.

    Raises:
        SettingsError: the file name has another ending.
    """
    if path.name.endswith(".jsonl.gz"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as lines:
            for row in table.to_pylist():
                lines.write(_json_line(row))
    elif path.suffix == ".parquet":
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")
    else:
        raise SettingsError(f"the name {path.name} has no known ending; name the file *.parquet or *.jsonl.gz")


def without_embeddings(table: pa.Table) -> pa.Table:
    """Return the rows without vectors, which are most of the bytes. Serving embeds the text of such a row itself."""
    return table.drop_columns([name for name in table.column_names if name.startswith("embedding")])


def _updated_at(embedded: EmbeddedLogs, as_of_day: int) -> int:
    """Return the unix milliseconds of the midnight before `as_of_day`: the evidence uses nothing later."""
    return embedded.logs.start_ms + as_of_day * MILLISECONDS_PER_DAY


def _vectors_of(lists: RankedQueries, query_vectors: Matrix) -> list[bytes]:
    return [
        vector_bytes(query_vectors[lists.queries[start:end]])
        for start, end in zip(lists.offsets[:-1], lists.offsets[1:], strict=True)
    ]


def _json_line(row: dict[str, Any]) -> bytes:
    """Return one row as a line of JSON, without its nulls."""
    values = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in row.items()
        if value is not None
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
