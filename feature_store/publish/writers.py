"""Writers: what loaders and offline jobs write evidence and histories with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feature_store.publish.servers import Servers, connect
from feature_store.redis_urls import parse_redis_url
from feature_store.schemes import EMBEDDED_SCHEMES, REDIS_SCHEMES
from feature_store.settings import StoreSettings
from feature_store.store import unknown_scheme
from feature_store.writes import HashWrite, Writer


def _commands(write: HashWrite, ttl_seconds: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the two commands of a write: its fields, and the life of the whole key."""
    fields: list[str | bytes] = ["HSET", write.key]
    for field in write.fields.items():
        fields += field
    return tuple(fields), ("EXPIRE", write.key, str(ttl_seconds)) if ttl_seconds else ("PERSIST", write.key)


class RedisWriter:
    """A `writes.Writer` on Redis: one exchange for a chunk, no retries."""

    def __init__(self, servers: Servers, ttl_seconds: int) -> None:
        """Take connected servers; `close` closes them."""
        self._servers = servers
        self._ttl_seconds = ttl_seconds

    def write(self, writes: Sequence[HashWrite]) -> None:
        """See `writes.Writer`."""
        self._servers.run([command for write in writes for command in _commands(write, self._ttl_seconds)])

    def close(self) -> None:
        """See `writes.Writer`."""
        self._servers.close()


def open_writer(url: str, ttl_seconds: int | None = None) -> Writer:
    """Open a store for writing. The caller owns the writer and closes it.

    Args:
        url: As for `store.open_store`, except `memory://`; a `sqlite:` file is made where it is missing.
        ttl_seconds: Life of what is written, from now; 0 for ever; `StoreSettings.ttl_seconds` when None.

    Raises:
        StoreUrlError: The URL cannot be used.
        StoreUnavailable: The Redis that it names does not answer.
    """
    ttl = StoreSettings().ttl_seconds if ttl_seconds is None else ttl_seconds
    scheme = url.partition("://")[0]
    if scheme in EMBEDDED_SCHEMES:
        from feature_store.embedded import open_embedded_writer

        return open_embedded_writer(url, ttl)
    if scheme in REDIS_SCHEMES:
        return RedisWriter(connect(parse_redis_url(url)), ttl)
    raise unknown_scheme(url)
