"""Writers: what loaders and offline jobs write evidence and histories with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from feature_store.errors import StoreUnavailable
from feature_store.redis_urls import RedisUrl, explain, parse_redis_url
from feature_store.settings import StoreSettings
from feature_store.store import EMBEDDED_SCHEMES, REDIS_SCHEMES, unknown_scheme
from feature_store.writes import HashWrite, Writer

_CONNECT_SECONDS = 5.0
_WRITE_SECONDS = 30.0  # for a chunk of some thousand records, on a server that is busy saving


class RedisWriter:
    """See `writes.Writer`. One pipeline for a chunk, no retries."""

    def __init__(self, url: RedisUrl, ttl_seconds: int) -> None:
        options: dict[str, Any] = {
            "protocol": 2,
            "socket_timeout": _WRITE_SECONDS,
            "socket_connect_timeout": _CONNECT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        self._shown = url.shown
        self._ttl_seconds = ttl_seconds
        self._client: Any  # redis.Redis or RedisCluster; their pipelines are not fully typed
        try:
            if url.is_cluster:
                self._client = RedisCluster.from_url(url.url, **options)
            else:
                self._client = redis.Redis.from_url(url.url, **options)
                self._client.ping()
        except Exception as error:  # redis-py's clients raise more kinds than they name
            raise StoreUnavailable(explain(error, url.shown)) from error

    def write(self, writes: Sequence[HashWrite]) -> None:
        """See `writes.Writer`."""
        pipeline = self._client.pipeline(transaction=False)
        for key, fields in writes:
            flat: list[str | bytes] = []
            for name, value in fields.items():
                flat += (name, value)
            pipeline.execute_command("HSET", key, *flat)
            if self._ttl_seconds:
                pipeline.execute_command("EXPIRE", key, self._ttl_seconds)
            else:
                pipeline.execute_command("PERSIST", key)
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
        return RedisWriter(parse_redis_url(url), ttl)
    raise unknown_scheme(url)
