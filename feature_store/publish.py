"""Writers: what loaders and offline jobs write evidence and histories with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from feature_store.errors import StoreUnavailable
from feature_store.redis_urls import RedisUrl, explain, parse_redis_url
from feature_store.schemes import EMBEDDED_SCHEMES, REDIS_SCHEMES
from feature_store.settings import StoreSettings
from feature_store.store import unknown_scheme
from feature_store.writes import HashWrite, Writer

_OPTIONS: Final[dict[str, Any]] = {
    "protocol": 2,
    "socket_connect_timeout": 5.0,
    "socket_timeout": 30.0,  # for a chunk of a thousand records, on a server that is busy saving
    "retry": Retry(NoBackoff(), 0),
}


def _commands(write: HashWrite, ttl_seconds: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the two commands of a write: its fields, and the life of the whole key."""
    fields: list[str | bytes] = ["HSET", write.key]
    for field in write.fields.items():
        fields += field
    return tuple(fields), ("EXPIRE", write.key, str(ttl_seconds)) if ttl_seconds else ("PERSIST", write.key)


class SingleServerWriter:
    """A `writes.Writer` on one Redis server: one exchange for a chunk, no retries.

    It packs commands itself, on a connection of redis-py: the pipeline there costs more than all else in a load.
    """

    def __init__(self, url: RedisUrl, ttl_seconds: int) -> None:
        """Connect. Raises StoreUnavailable."""
        self._shown = url.shown
        self._ttl_seconds = ttl_seconds
        self._client: Any = redis.Redis.from_url(url.url, **_OPTIONS)
        try:
            self._client.ping()
            self._connection: Any = self._client.connection_pool.get_connection()
        except redis.RedisError as error:
            self._client.close()
            raise StoreUnavailable(explain(error, url.shown)) from error

    def write(self, writes: Sequence[HashWrite]) -> None:
        """See `writes.Writer`."""
        packed = [hiredis.pack_command(command) for write in writes for command in _commands(write, self._ttl_seconds)]
        try:
            self._connection.send_packed_command([b"".join(packed)])
            for _ in packed:
                self._connection.read_response()
        except redis.RedisError as error:
            self._connection.disconnect()  # further replies may be under way; they must answer nothing else
            raise StoreUnavailable(explain(error, self._shown)) from error

    def close(self) -> None:
        """See `writes.Writer`."""
        self._connection.disconnect()
        self._client.close()


class ClusterWriter:
    """A `writes.Writer` on a Redis Cluster: redis-py's pipeline sends each command to its node. No retries."""

    def __init__(self, url: RedisUrl, ttl_seconds: int) -> None:
        """Connect. Raises StoreUnavailable."""
        self._shown = url.shown
        self._ttl_seconds = ttl_seconds
        try:
            self._client: Any = RedisCluster.from_url(url.url, **_OPTIONS)
        except Exception as error:  # redis-py's cluster client raises more kinds than it names
            raise StoreUnavailable(explain(error, url.shown)) from error

    def write(self, writes: Sequence[HashWrite]) -> None:
        """See `writes.Writer`."""
        pipeline = self._client.pipeline()
        for write in writes:
            for command in _commands(write, self._ttl_seconds):
                pipeline.execute_command(*command)
        try:
            pipeline.execute()
        except Exception as error:
            raise StoreUnavailable(explain(error, self._shown)) from error

    def close(self) -> None:
        """See `writes.Writer`."""
        self._client.close()


def open_writer(url: str, ttl_seconds: int | None = None) -> Writer:
    """Open a store for writing. The caller owns the writer and closes it.

    Args:
        url: as for `store.open_store`, except `memory://`; a `sqlite:` file is made where it is missing.
        ttl_seconds: life of what is written, from now; 0 for ever; `StoreSettings.ttl_seconds` when None.

    Raises:
        StoreUrlError: the URL cannot be used.
        StoreUnavailable: the Redis that it names does not answer.
    """
    ttl = StoreSettings().ttl_seconds if ttl_seconds is None else ttl_seconds
    scheme = url.partition("://")[0]
    if scheme in EMBEDDED_SCHEMES:
        from feature_store.embedded import open_embedded_writer

        return open_embedded_writer(url, ttl)
    if scheme in REDIS_SCHEMES:
        checked = parse_redis_url(url)
        return ClusterWriter(checked, ttl) if checked.is_cluster else SingleServerWriter(checked, ttl)
    raise unknown_scheme(url)
