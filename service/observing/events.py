"""One event for each answer, to a sink, without ever holding up or failing a request.

``EventLog.emit`` puts the event on a bounded queue and returns; one background thread writes. A full queue and a
failing sink lose events, and both are counted.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Protocol

from service.errors import ConfigurationError
from service.settings import EventSettings

logger = logging.getLogger(__name__)

Event = Mapping[str, Any]

_BATCH = 256
_REDIS_TIMEOUT_SECONDS = 1.0


class EventSink(Protocol):
    """Where encoded events go; called from one thread only."""

    def write(self, events: Sequence[str]) -> None:
        """Write some events, each one JSON object; may block, may raise."""

    def close(self) -> None:
        """Flush and let go of what is held."""


class JsonLinesSink:
    """Appends to a file, or writes to standard output where the path is ``-``."""

    def __init__(self, path: str) -> None:
        """Raises ConfigurationError where the file cannot be opened."""
        self._owned = path != "-"
        try:
            self._file: IO[str] = open(path, "a", encoding="utf-8") if self._owned else sys.stdout  # noqa: SIM115
        except OSError as error:
            raise ConfigurationError(
                f"The event file {path} cannot be opened ({error.strerror}); set ONEBAR_EVENTS__PATH to a writable one."
            ) from error

    def write(self, events: Sequence[str]) -> None:
        """Write one line for each event, and flush."""
        self._file.write("".join(f"{event}\n" for event in events))
        self._file.flush()

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._owned:
            self._file.close()


class RedisStreamSink:
    """XADD to a Redis Stream, trimmed to about a maximum length; each entry has the one field ``event``."""

    def __init__(self, url: str, stream: str, max_length: int) -> None:
        """Raises ConfigurationError for a URL that is not one; a Redis that is down is met when writing."""
        # Only this sink needs the client, and it is the store's, not the service's, everywhere else.
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=_REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise ConfigurationError(f"ONEBAR_EVENTS__URL is not a Redis URL: {error}.") from error
        self._stream = stream
        self._max_length = max_length

    def write(self, events: Sequence[str]) -> None:
        """Append the events in one round trip. Raises redis.RedisError."""
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            pipeline.xadd(self._stream, {"event": event}, maxlen=self._max_length, approximate=True)
        pipeline.execute()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class EventLog:
    """The bounded queue before a sink, and the thread that empties it."""

    def __init__(self, sink: EventSink, capacity: int, on_drop: Callable[[str, int], None]) -> None:
        """``on_drop(cause, count)`` is called for events that are lost: ``queue_full`` or ``sink_failed``."""
        self._sink = sink
        self._on_drop = on_drop
        self._queue: queue.Queue[Event | None] = queue.Queue(capacity)
        self._thread = threading.Thread(target=self._run, name="onebar-events", daemon=True)
        self._closing = False
        self._failing = False

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Hand over one event; returns at once, whatever the sink does."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._on_drop("queue_full", 1)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what is queued and end; what a stuck sink has not taken by then is lost and counted."""
        self._closing = True
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            logger.debug("the event queue is full at shutdown; the writer empties it first")
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            self._on_drop("sink_failed", self._queue.qsize())

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                self._write(batch)
        finally:
            self._sink.close()

    def _next_batch(self) -> list[Event] | None:
        """The events that are there, at least one; None when the log is closing and empty."""
        batch: list[Event] = []
        while len(batch) < _BATCH:
            try:
                # A close that met a full queue left no mark behind, so the end must also be seen here.
                event = self._queue.get(block=not batch and not self._closing)
            except queue.Empty:
                break
            if event is None:
                self._closing = True
                continue
            batch.append(event)
        return batch or None

    def _write(self, batch: list[Event]) -> None:
        try:
            self._sink.write([json.dumps(event, ensure_ascii=False, separators=(",", ":")) for event in batch])
            self._failing = False
        except Exception as error:
            self._on_drop("sink_failed", len(batch))
            if not self._failing:  # one line for each outage, not one for each event
                logger.warning("events are being lost: %s", error)
            self._failing = True


def open_sink(settings: EventSettings) -> EventSink | None:
    """The sink that the settings name, or None. Raises ConfigurationError."""
    match settings.sink:
        case "jsonl":
            return JsonLinesSink(settings.path)
        case "redis_stream":
            return RedisStreamSink(settings.url, settings.stream, settings.stream_max_length)
        case "none":
            return None
