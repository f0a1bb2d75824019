"""Evidence rows and user rows for the feature store, in the form that `onebar evidence load` reads.

Files are Parquet, or gzipped JSON lines when the name ends in `.jsonl.gz`. Embeddings are raw bytes in Parquet and
base64 in JSON (feature_store/FORMAT.md, "Rows").
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from itertools import chain
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

_ROWS_AT_ONCE = 1 << 15
"""Rows whose values exist as a table at the same time."""

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
    """Return the evidence rows of videos at the start of `as_of_day`, as one table; see `evidence_parts`."""
    return pa.concat_tables(evidence_parts(embedded, as_of_day, photos))


def evidence_parts(embedded: EmbeddedLogs, as_of_day: int, photos: IntArray | None = None) -> Iterator[pa.Table]:
    """Return the evidence rows of videos at the start of `as_of_day` in parts, at least one.

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
    for start in range(0, max(len(photos), 1), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(photos)))
        yield _evidence_rows(embedded, as_of_day, photos[rows], anchors.take(rows), histories.take(rows))


def _evidence_rows(
    embedded: EmbeddedLogs, as_of_day: int, photos: IntArray, anchors: RankedQueries, histories: RankedQueries
) -> pa.Table:
    logs = embedded.logs
    videos = logs.videos.take(pa.array(photos))
    vectors = embedded.video_vectors[photos]
    known = np.asarray(vectors.any(axis=1)).tolist()
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
    """Return the past queries of every user that has any, as one table; see `user_parts`."""
    return pa.concat_tables(user_parts(embedded, as_of_day))


def user_parts(embedded: EmbeddedLogs, as_of_day: int) -> Iterator[pa.Table]:
    """Return the past queries of every user that has any, newest first, with their vectors (fp16, row by row).

    The rows come in parts, at least one: the vectors of a user may be 10 KB.

    Raises:
        SettingsError: the logs cannot give evidence for that day.
    """
    logs = embedded.logs
    logs.check_day(as_of_day)
    pasts = embedded.user_histories(as_of_day)
    users = np.flatnonzero(pasts.lengths > 0)
    for start in range(0, max(len(users), 1), _ROWS_AT_ONCE):
        some = users[start : start + _ROWS_AT_ONCE]
        lists = pasts.take(some)
        columns = {
            "user_id": logs.user_ids.take(pa.array(some)),
            "queries": lists.to_strings(logs.queries),
            "embeddings": pa.array(_vectors_of(lists, embedded.query_vectors), pa.binary()),
            "embedding_version": pa.repeat(embedded.embedding_version, len(some)),
            "updated_at": pa.repeat(_updated_at(embedded, as_of_day), len(some)),
        }
        yield pa.table(columns, schema=USER_SCHEMA)


def write_rows(rows: pa.Table | Iterable[pa.Table], path: Path) -> int:
    """Write rows as Parquet (`.parquet`) or gzipped JSON lines (`.jsonl.gz`). The same rows give the same bytes.

    Args:
        rows: a table, or its parts, of which there is at least one; a part is a row group of Parquet.
        path: of the file.

    Returns:
        The number of rows.

    Raises:
        SettingsError: the file name has another ending.
    """
    parts = iter([rows] if isinstance(rows, pa.Table) else rows)
    if not path.name.endswith((".jsonl.gz", ".parquet")):
        raise SettingsError(f"the name {path.name} has no known ending; name the file *.parquet or *.jsonl.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    if path.suffix == ".parquet":
        first = next(parts)
        with pq.ParquetWriter(path, first.schema, compression="zstd") as file:
            for part in chain([first], parts):
                file.write_table(part)
                count += part.num_rows
        return count
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as lines:
        for part in parts:
            for row in part.to_pylist():
                lines.write(_json_line(row))
            count += part.num_rows
    return count


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
