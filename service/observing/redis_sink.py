"""The Redis Stream of events: bounded by bytes, on a server that evicts nothing and is not the feature store's."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import redis

from feature_store.errors import StoreUrlError
from feature_store.redis_urls import explain, parse_redis_url
from service.errors import ConfigurationError
from service.observing.sink_server import StoreServer, connect, fault_of
from service.observing.sinks import PartialWrite, SinkRefused
from service.settings import EventSettings

logger = logging.getLogger(__name__)

_CHECK_SECONDS = 60.0
"""How often the server is checked again: its policy can be changed, and a failover can replace it."""

_MEASURED_NODES = 16
"""Nodes of the stream that Redis samples for MEMORY USAGE; a node has up to 4 KiB of entries."""

_MEMORY_PER_BYTE = 1.25
_MEMORY_PER_ENTRY = 64
"""An upper bound of the memory of an entry: the allocator rounds up by a quarter at most, and an entry has an id."""

_RECENT_EVENTS = 256
"""Events over which the size of recent ones is averaged."""


class RedisStreamSink:
    """XADD to one stream; each entry has the one field ``event``.

    Every write also asks for the length and the memory of the stream. Their quotient is the memory of an entry.
    ``max_bytes`` divided by it is the length to which the next write trims. Redis estimates the memory from the oldest
    entries, so where recent events are larger, their size counts instead. The stream then holds less than it may, and
    it never exceeds ``max_bytes`` by much more than one write.

    The server is checked before the first write, after every failure, and once a minute (``sink_server.fault_of``).
    """

    def __init__(self, url: str, settings: EventSettings, store: StoreServer | None) -> None:
        """Take a checked URL; nothing is connected yet. ``store`` is None where its server may be shared."""
        self._redis = connect(url)
        self._stream = settings.stream
        self._max_bytes = settings.stream_max_bytes
        self._max_length = settings.stream_max_length
        self._store = store
        self._entry_bytes = 0.0
        self._recent_bytes = 0.0
        self._checked_at: float | None = None

    def check(self) -> None:
        """Check the server.

        Raises:
            SinkRefused: the server must not be used.
            redis.RedisError: it cannot be asked.
        """
        self._checked_at = None
        fault = fault_of(self._redis, self._max_bytes, self._store)
        if fault:
            raise SinkRefused(fault)
        try:
            self._measured(
                self._redis.xlen(self._stream), self._redis.memory_usage(self._stream, samples=_MEASURED_NODES)
            )
        except redis.exceptions.NoPermissionError as error:
            raise SinkRefused(
                f"the user may not measure the stream ({error}). Give the user +xlen and +memory|usage."
            ) from error
        self._checked_at = time.monotonic()

    def write(self, events: Sequence[bytes]) -> None:
        """Append the events in one round trip, after a check where one is due.

        Raises:
            SinkRefused: the server must not be used.
            PartialWrite: Redis took some of the events.
            redis.RedisError: it took none, as far as is known.
        """
        if self._checked_at is None or time.monotonic() - self._checked_at >= _CHECK_SECONDS:
            self.check()
        pipeline = self._redis.pipeline(transaction=False)
        length = self._length_for(events)
        for event in events:
            pipeline.xadd(self._stream, {"event": event}, maxlen=length, approximate=True)
        pipeline.xlen(self._stream)
        pipeline.memory_usage(self._stream, samples=_MEASURED_NODES)
        try:
            results: list[Any] = pipeline.execute(raise_on_error=False)
        except redis.RedisError:
            self._checked_at = None
            raise
        self._settle(results[: len(events)])
        entries, memory = results[len(events) :]
        for result in (entries, memory):
            if isinstance(result, redis.RedisError):
                self._checked_at = None
                # The events are there: only the next write, which could not be bounded, must not happen.
                raise PartialWrite(len(events), result)
        self._measured(entries, memory)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _measured(self, entries: int, memory: int | None) -> None:
        if entries and memory:
            self._entry_bytes = memory / entries

    def _settle(self, added: Sequence[Any]) -> None:
        """Raise where an event was not added; events after it are sent again, even those that were added."""
        for written, result in enumerate(added):
            if isinstance(result, Exception):
                self._checked_at = None
                raise PartialWrite(written, result) from result

    def _length_for(self, events: Sequence[bytes]) -> int:
        """The entries to which the stream is trimmed."""
        mean = sum(map(len, events)) / len(events)
        weight = min(1.0, len(events) / _RECENT_EVENTS) if self._recent_bytes else 1.0
        self._recent_bytes += weight * (mean - self._recent_bytes)
        entry_bytes = max(self._entry_bytes, _MEMORY_PER_BYTE * self._recent_bytes + _MEMORY_PER_ENTRY)
        return max(1, min(self._max_length, int(self._max_bytes / entry_bytes)))


def open_redis_sink(settings: EventSettings, store_url: str) -> RedisStreamSink:
    """Open the Redis Stream sink, and check its server where that can be reached.

    Args:
        settings: of the events.
        store_url: of the feature store.

    Raises:
        ConfigurationError: a setting is missing or wrong, or the server must not be used. A server that is down does
            not raise: it is checked before the first write.
    """
    if settings.url is None:
        raise ConfigurationError(
            "ONEBAR_EVENTS__SINK=redis_stream needs ONEBAR_EVENTS__URL, a Redis server other than the feature store's."
        )
    if settings.spool_path is None:
        raise ConfigurationError(
            "ONEBAR_EVENTS__SINK=redis_stream needs ONEBAR_EVENTS__SPOOL_PATH, a folder that keeps the events while "
            "Redis is down."
        )
    try:
        url = parse_redis_url(settings.url)
    except StoreUrlError as error:
        raise ConfigurationError(f"ONEBAR_EVENTS__URL: {error}.") from error
    if url.is_cluster:
        raise ConfigurationError(
            f"ONEBAR_EVENTS__URL: {url.shown} is a Redis Cluster; a stream is one key, so name one server."
        )
    for warning in url.warnings:
        logger.warning("ONEBAR_EVENTS__URL: %s", warning)
    store = None if settings.allow_store_server else StoreServer.of(store_url)
    sink = RedisStreamSink(url.url, settings, store)
    try:
        if store and store.has_address_of(url.url):
            raise SinkRefused(store.refusal)
        sink.check()
    except SinkRefused as error:
        sink.close()
        raise ConfigurationError(f"ONEBAR_EVENTS__URL: {url.shown} is refused: {error}") from error
    except redis.RedisError as error:
        logger.warning("the event stream cannot be reached; events go to the spool: %s", explain(error, url.shown))
    return sink
