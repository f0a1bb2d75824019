"""Evidence and user rows for the feature store, as `onebar evidence load` takes them.

Parquet, or gzipped JSON lines when the file name ends in `.jsonl.gz`; embeddings are raw bytes in Parquet and base64 in
JSON (feature_store/FORMAT.md, "Rows").
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_store.rows import vector_bytes
from offline.embedder import TEXT_FIELDS, Matrix
from offline.errors import SettingsError
from offline.prepare import Prepared
from offline.ranked import IntArray, RankedQueries
from offline.user_histories import user_histories_as_of

MILLISECONDS_PER_DAY = 86_400_000

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


def evidence_table(prepared: Prepared, as_of_day: int, photos: IntArray | None = None) -> pa.Table:
    """Evidence of videos as it stands at the start of `as_of_day`.

    Args:
        prepared: the logs with their vectors.
        as_of_day: only days before it are used.
        photos: photo codes; by default every video created on or before that day.

    Raises:
        SettingsError: the logs cannot give evidence for that day.
    """
    logs = prepared.logs
    logs.check_day(as_of_day)
    if photos is None:
        photos = np.flatnonzero(logs.videos["created_day"].to_numpy() <= as_of_day)
    anchors, histories = prepared.collaborative(photos, as_of_day)
    videos = logs.videos.take(pa.array(photos))
    vectors = prepared.video_vectors[photos]
    known = [bool(row.any()) for row in vectors]
    columns = {
        **{name: videos[name] for name in ("photo_id", *TEXT_FIELDS, "summary", "category")},
        "anchors": anchors.to_strings(logs.queries),
        "histories": histories.to_strings(logs.queries),
        "embedding": pa.array(
            [vector_bytes(row) if has else None for row, has in zip(vectors, known, strict=True)], pa.binary()
        ),
        "embedding_version": pa.array([prepared.embedding_version if has else None for has in known], pa.string()),
        "updated_at": pa.repeat(_updated_at(prepared, as_of_day), len(photos)),
    }
    return pa.table({name: columns[name] for name in EVIDENCE_SCHEMA.names}, schema=EVIDENCE_SCHEMA)


def user_table(prepared: Prepared, as_of_day: int) -> pa.Table:
    """Past queries of every user that has any, newest first, with their vectors (fp16, row after row).

    Raises:
        SettingsError: the logs cannot give evidence for that day.
    """
    logs = prepared.logs
    logs.check_day(as_of_day)
    pasts = user_histories_as_of(logs, as_of_day, prepared.settings.users.limit)
    users = np.flatnonzero(pasts.lengths > 0)
    pasts = pasts.take(users)
    columns = {
        "user_id": logs.user_ids.take(pa.array(users)),
        "queries": pasts.to_strings(logs.queries),
        "embeddings": pa.array(_vectors_of(pasts, prepared.query_vectors), pa.binary()),
        "embedding_version": pa.repeat(prepared.embedding_version, len(users)),
        "updated_at": pa.repeat(_updated_at(prepared, as_of_day), len(users)),
    }
    return pa.table(columns, schema=USER_SCHEMA)


def write_rows(table: pa.Table, path: Path) -> None:
    """Writes rows as Parquet (`.parquet`) or gzipped JSON lines (`.jsonl.gz`); the same rows give the same bytes.

    Raises:
        SettingsError: the file name ends in neither.
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
        raise SettingsError(f"cannot tell the format of {path.name}; name it *.parquet or *.jsonl.gz")


def without_embeddings(table: pa.Table) -> pa.Table:
    """The rows without their vectors, which are most of the bytes; serving embeds the texts where it finds none."""
    return table.drop_columns([name for name in table.column_names if name.startswith("embedding")])


def _updated_at(prepared: Prepared, as_of_day: int) -> int:
    """Unix milliseconds of the midnight before `as_of_day`: the evidence knows nothing that came later."""
    shown = prepared.logs.impressions
    start_of_log = int(pc.min(pa.array(shown.ts - shown.day * MILLISECONDS_PER_DAY)).as_py())
    start_of_log -= start_of_log % MILLISECONDS_PER_DAY
    return start_of_log + as_of_day * MILLISECONDS_PER_DAY


def _vectors_of(lists: RankedQueries, query_vectors: Matrix) -> list[bytes]:
    return [
        vector_bytes(query_vectors[lists.queries[start:end]])
        for start, end in zip(lists.offsets[:-1], lists.offsets[1:], strict=True)
    ]


def _json_line(row: dict[str, Any]) -> bytes:
    """One row without its nulls."""
    values = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in row.items()
        if value is not None
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
