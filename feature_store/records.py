"""What a reader gets, made from the raw values of Redis or of the embedded store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evidence.schema import RawText
from feature_store.codec import decode_member, decode_string, decode_strings, decode_text, decode_time
from feature_store.errors import CodecError
from feature_store.keys import PHOTO_FIELDS, time_field
from feature_store.vectors import decode_vectors

TIMEOUT: Final = "feature_store_timeout"
DOWN: Final = "feature_store_down"
BUSY: Final = "feature_store_busy"
PHOTO_FIELD_UNREADABLE: Final = "photo_field_unreadable"
USER_UNREADABLE: Final = "user_unreadable"
SHOWN_UNREADABLE: Final = "shown_unreadable"
PHOTO_EMBEDDING_VERSION: Final = "photo_embedding_version"
USER_EMBEDDING_VERSION: Final = "user_embedding_version"

DEGRADATIONS: Final = (
    TIMEOUT,
    DOWN,
    BUSY,
    PHOTO_FIELD_UNREADABLE,
    USER_UNREADABLE,
    SHOWN_UNREADABLE,
    PHOTO_EMBEDDING_VERSION,
    USER_EMBEDDING_VERSION,
)
"""Every word that `Fetched.degraded` can hold, so that a metric's label is bounded."""

PHOTO_HASH_FIELDS: Final = PHOTO_FIELDS + tuple(time_field(name) for name in PHOTO_FIELDS)
"""Fields of a photo's hash in the order in which `decode_photo` wants their values."""

Values = Sequence[bytes | None]
"""Values of a hash as the store returned them; a server that is not what it seems may return other things."""


@dataclass(frozen=True, slots=True, eq=False)
class PhotoRecord:
    """What is stored of one video, as it was written; nothing is cleaned here.

    Attributes:
        raw: the platform's own text fields.
        summary: the multimodal summary, template prefix and all; "" when missing.
        anchors: queries of the nearest other videos, best first.
        histories: queries issued on this video, most frequent first.
        category: "" when missing.
        embedding: float32 [dimension], or None when missing, unreadable or of another version.
        embedding_version: of the stored embedding, also where `embedding` is None because of it.
        updated_at: unix milliseconds of each stored field, by its name in `keys.PHOTO_FIELDS`.
    """

    raw: RawText = field(default_factory=RawText)
    summary: str = ""
    anchors: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()
    category: str = ""
    embedding: NDArray[np.float32] | None = None
    embedding_version: str | None = None
    updated_at: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, eq=False)
class UserRecord:
    """What is stored of one user.

    Attributes:
        queries: past queries, newest first.
        embeddings: float32 [len(queries), dimension], or None when missing, unreadable or of another version.
        embedding_version: of the stored embeddings, also where `embeddings` is None because of it.
        updated_at: unix milliseconds, or None.
    """

    queries: tuple[str, ...] = ()
    embeddings: NDArray[np.float32] | None = None
    embedding_version: str | None = None
    updated_at: int | None = None


class ShownQuery(NamedTuple):
    """A query that was shown to a user, and when (unix milliseconds)."""

    query: str
    shown_at_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """Answer of one `fetch`.

    Attributes:
        photo: None when nothing is stored of it, or it did not arrive in time.
        user: the same; a user without a record is not a degradation.
        shown: lately shown queries, newest first; empty unless they were asked for.
        degraded: why something is missing that might have been had, each one of `DEGRADATIONS`, no repeats.
    """

    photo: PhotoRecord | None = None
    user: UserRecord | None = None
    shown: tuple[ShownQuery, ...] = ()
    degraded: tuple[str, ...] = ()


class _Reader:
    """Decodes values one by one, and remembers whether one of them could not be."""

    def __init__(self) -> None:
        self.failed = False

    def read(self, data: bytes | None, decode: Callable[[bytes], Any], default: Any) -> Any:
        if data is None:
            return default
        try:
            if not isinstance(data, bytes):
                raise CodecError("it is not a string of bytes")
            return decode(data)
        except CodecError:
            self.failed = True
            return default


def decode_photo(values: Values, embedding_version: str) -> tuple[PhotoRecord | None, tuple[str, ...]]:
    """Return a photo and the degradations met; a field that cannot be decoded is left out, the others are used.

    Args:
        values: of `PHOTO_HASH_FIELDS`, in that order; None where the hash has no such field.
        embedding_version: the version to return; an embedding of another version is withheld.
    """
    if all(value is None for value in values):
        return None, ()
    count = len(PHOTO_FIELDS)
    text, summary, anchors, histories, category, embedding = values[:count]
    reader = _Reader()
    degraded: list[str] = []
    vectors = reader.read(embedding or None, decode_vectors, None)
    vector, version = None, None
    if vectors is not None:
        version = vectors.version
        if version != embedding_version:
            degraded.append(PHOTO_EMBEDDING_VERSION)
        elif len(vectors.matrix) == 1:
            vector = vectors.matrix[0]
        else:
            reader.failed = True
    times = {
        name: reader.read(value, decode_time, None) for name, value in zip(PHOTO_FIELDS, values[count:], strict=True)
    }
    record = PhotoRecord(
        raw=reader.read(text, decode_text, RawText()),
        summary=reader.read(summary, decode_string, ""),
        anchors=reader.read(anchors, decode_strings, ()),
        histories=reader.read(histories, decode_strings, ()),
        category=reader.read(category, decode_string, ""),
        embedding=vector,
        embedding_version=version,
        updated_at=MappingProxyType({name: time for name, time in times.items() if time is not None}),
    )
    if reader.failed:
        degraded.append(PHOTO_FIELD_UNREADABLE)
    return record, tuple(degraded)


def decode_user(values: Values, embedding_version: str) -> tuple[UserRecord | None, tuple[str, ...]]:
    """Return a user and the degradations met.

    Args:
        values: of `keys.USER_FIELDS`, in that order; None where the hash has no such field.
        embedding_version: the version to return; embeddings of another version are withheld, the queries are not.
    """
    if all(value is None for value in values):
        return None, ()
    stored_queries, stored_embeddings, stored_time = values
    reader = _Reader()
    degraded: list[str] = []
    queries = reader.read(stored_queries, decode_strings, ())
    vectors = reader.read(stored_embeddings or None, decode_vectors, None)
    matrix, version = None, None
    if vectors is not None:
        version = vectors.version
        if version != embedding_version:
            degraded.append(USER_EMBEDDING_VERSION)
        elif len(vectors.matrix) == len(queries):
            matrix = vectors.matrix
        else:
            reader.failed = True
    record = UserRecord(queries, matrix, version, reader.read(stored_time, decode_time, None))
    if reader.failed:
        degraded.append(USER_UNREADABLE)
    return record, tuple(degraded)


def decode_shown(members: Sequence[tuple[Any, Any]]) -> tuple[tuple[ShownQuery, ...], tuple[str, ...]]:
    """Return lately shown queries and the degradations met.

    Args:
        members: Of the sorted set, each with its score (a number, or its digits), newest first.
    """
    shown: list[ShownQuery] = []
    degraded: tuple[str, ...] = ()
    for member, score in members:
        try:
            if not isinstance(member, bytes):
                raise CodecError("it is not a string of bytes")
            shown.append(ShownQuery(decode_member(member), int(float(score))))
        except (CodecError, TypeError, ValueError, OverflowError):
            degraded = (SHOWN_UNREADABLE,)
    return tuple(shown), degraded
