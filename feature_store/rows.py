"""Rows of evidence, as files and offline jobs have them, made into writes. FORMAT.md, "Rows", is the contract."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from evidence.rows import TEXT_FIELDS
from evidence.schema import RawText
from feature_store.codec import (
    MAX_ENTRIES,
    MAX_QUERY_LENGTH,
    MAX_TEXT_LENGTH,
    encode_string,
    encode_strings,
    encode_text,
    encode_time,
)
from feature_store.errors import CodecError, InvalidIdError, RowError
from feature_store.keys import photo_key, time_field, user_key
from feature_store.pseudonym import KeyRing
from feature_store.vectors import Matrix, VectorType, encode_vectors
from feature_store.writes import HashWrite

Kind = Literal["photos", "users"]
Row = Mapping[str, Any]

PHOTO_COLUMNS: Final = (
    "photo_id",
    *TEXT_FIELDS,
    "summary",
    "anchors",
    "histories",
    "category",
    "embedding",
    "embedding_version",
    "updated_at",
)
USER_COLUMNS: Final = ("user_id", "queries", "embeddings", "embedding_version", "updated_at")

_MAX_TIME: Final = 10**15


@dataclass(frozen=True, slots=True)
class RowOptions:
    """What a row leaves open.

    Attributes:
        now_ms: Unix milliseconds, for rows without `updated_at`.
        vector_type: In which embeddings are stored.
        key_ring: Makes pseudonyms of user ids; None stores them as they are.
    """

    now_ms: int
    vector_type: VectorType = "fp16"
    key_ring: KeyRing | None = None


def vector_bytes(matrix: Matrix) -> bytes:
    """Return the `embedding` or `embeddings` of a row: the bare values, little-endian fp16, row after row."""
    return matrix.astype("<f2").tobytes()


def _identifier(row: Row, column: str) -> str:
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # many logs number their videos
    if not isinstance(value, str):
        raise RowError(f"{column} is missing" if value is None else f"{column} is not a string")
    return value


def _text(row: Row, column: str) -> str | None:
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str):
        raise RowError(f"{column} is not a string")
    return value[:MAX_TEXT_LENGTH]


def _strings(row: Row, column: str) -> list[str]:
    value = row.get(column)
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise RowError(f"{column} is not a list of strings")
    for entry in value:
        if not isinstance(entry, str):
            raise RowError(f"{column} holds something that is not a string")
    return [entry[:MAX_QUERY_LENGTH] for entry in value]


def _filled(row: Row, column: str) -> list[str]:
    return [entry for entry in _strings(row, column) if entry and not entry.isspace()][:MAX_ENTRIES]


def _time(row: Row, default: int) -> bytes:
    value = row.get("updated_at")
    if value is None:
        return encode_time(default)
    # A nullable column of whole numbers comes out of pandas as floats.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        raise RowError("updated_at is not a whole number of milliseconds")
    if not 0 <= value < _MAX_TIME:
        raise RowError("updated_at is no time in unix milliseconds")
    return encode_time(int(value))


def _vectors(row: Row, column: str, rows: int, options: RowOptions) -> NDArray[np.float16] | None:
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise RowError(f"{column} is not base64") from None
    if not isinstance(value, bytes):
        raise RowError(f"{column} is neither bytes nor base64")
    if not value and not rows:
        return None
    if not value or not rows or len(value) % (2 * rows):
        raise RowError(f"{column} of {len(value)} bytes is not {rows} row(s) of fp16 values")
    return np.frombuffer(value, dtype="<f2").reshape(rows, -1)


def _stored_vectors(row: Row, vectors: NDArray[np.float16] | None, options: RowOptions) -> bytes:
    if vectors is None or not len(vectors):
        return b""
    version = row.get("embedding_version")
    if not isinstance(version, str):
        raise RowError("embedding_version is missing beside an embedding")
    return encode_vectors(vectors, version, options.vector_type)


def _encoded(column: str, encode: Callable[[Any], bytes], value: Any) -> bytes:
    try:
        return encode(value)
    except CodecError as error:
        raise RowError(f"{column}: {error}") from None


def _photo_key(row: Row) -> str:
    try:
        return photo_key(_identifier(row, "photo_id"))
    except InvalidIdError as error:
        raise RowError(f"photo_id: {error}") from None


def _user_key(row: Row, options: RowOptions) -> str:
    try:
        user_id = _identifier(row, "user_id")
        stored_id = user_id if options.key_ring is None else options.key_ring.current(user_id)
        if stored_id is None:
            raise RowError("user_id is a pseudonym of a key that is not in the key file")
        return user_key(stored_id)
    except InvalidIdError as error:
        raise RowError(f"user_id: {error}") from None


def key_of_row(row: Row, kind: Kind, options: RowOptions) -> str | None:
    """Return the key of a row that is otherwise bad, or None where its id is bad, too."""
    try:
        return _photo_key(row) if kind == "photos" else _user_key(row, options)
    except RowError:
        return None


def photo_write(row: Row, options: RowOptions) -> HashWrite:
    """Return the write of one row of a video.

    A column that the row does not have leaves the stored field as it is; null empties it.

    Raises:
        RowError: with the reason.
    """
    key = _photo_key(row)
    fields: dict[str, bytes] = {}
    if any(name in row for name in TEXT_FIELDS):
        raw = RawText(*(_text(row, name) for name in TEXT_FIELDS))
        fields["text"] = _encoded("text", encode_text, raw)
    for column in ("summary", "category"):
        if column in row:
            fields[column] = _encoded(column, encode_string, _text(row, column) or "")
    for column in ("anchors", "histories"):
        if column in row:
            fields[column] = _encoded(column, encode_strings, _filled(row, column))
    if "embedding" in row:
        vectors = _vectors(row, "embedding", 1, options)
        fields["embedding"] = _encoded("embedding", lambda v: _stored_vectors(row, v, options), vectors)
    if not fields:
        raise RowError("nothing but a photo_id")
    at = _time(row, options.now_ms)
    for name in tuple(fields):
        fields[time_field(name)] = at
    return HashWrite(key, fields)


def user_write(row: Row, options: RowOptions) -> HashWrite:
    """Return the write of one row of a user; its queries and their embeddings are always written together.

    Raises:
        RowError: with the reason.
    """
    key = _user_key(row, options)
    if row.get("queries") is None:
        raise RowError("queries is missing")
    queries = _strings(row, "queries")
    vectors = _vectors(row, "embeddings", len(queries), options)
    kept = [i for i, query in enumerate(queries) if query and not query.isspace()][:MAX_ENTRIES]
    if len(kept) < len(queries):
        queries = [queries[i] for i in kept]
        vectors = vectors[kept] if vectors is not None else None
    return HashWrite(
        key,
        {
            "queries": _encoded("queries", encode_strings, queries),
            "embeddings": _encoded("embeddings", lambda v: _stored_vectors(row, v, options), vectors),
            "updated_at": _time(row, options.now_ms),
        },
    )
