"""One event for each answer and for each feedback, to a sink, without ever delaying or failing a request.

``EventLog.emit`` encodes the event, puts it on a bounded queue and returns. One background thread writes. While the
sink fails, events go to the spool (``spool``), and from there to the sink when it works again, in order. Every event
that is lost is counted by its cause (``event_metrics.DropCause``).

Delivery is at least once: after a crash, or a connection that broke before the reply, some events come twice.
``onebar events export`` removes the duplicates.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from service.observing.event_metrics import EventMetrics, SinkFault
from service.observing.sinks import EventSink, PartialWrite, SinkRefused, open_sink
from service.observing.spool import Spool
from service.settings import EventSettings

logger = logging.getLogger(__name__)

Event = Mapping[str, Any]

_OFFERED_SHARE = 0.5
_BATCH = 256
_BATCH_BYTES = 256 * 1024
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0


class EventLog:
    """The bounded queue before a sink, the thread that empties it, and the spool behind it."""

    def __init__(self, sink: EventSink, spool: Spool | None, settings: EventSettings, metrics: EventMetrics) -> None:
        """Take what is open; ``close`` closes it. Without a spool, events that the sink does not take are lost."""
        self._sink = sink
        self._spool = spool
        self._settings = settings
        self._metrics = metrics
        self._thread = threading.Thread(target=self._run, name="onebar-events", daemon=True)
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._closing = False
        self._replay_until = float("inf")
        # Of the thread alone:
        self._fault: SinkFault | None = None
        self._pause = 0.0
        self._retry_at = 0.0
        if spool:
            metrics.spool_bytes(spool.size, spool.max_bytes)
            if spool.torn:
                metrics.dropped("spool_torn", spool.torn)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Hand over one event; returns at once and never raises, whatever the sink does. What is lost is counted."""
        line = self._encoded(event)
        if line is not None and not self._put(line, 1.0):
            self._metrics.dropped("queue_full")

    def offer(self, event: Event) -> bool:
        """Hand over an event that its sender can send again; it may fill no more than half of the queue.

        The other half is for the events of answers, which come only once.

        Returns:
            Whether the event was taken.
        """
        line = self._encoded(event)
        return line is not None and self._put(line, _OFFERED_SHARE)

    def _encoded(self, event: Event) -> bytes | None:
        """Return an event as one line; None for one that is lost."""
        try:
            line = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        except (TypeError, ValueError):
            self._metrics.dropped("not_json")
            return None
        if len(line) > self._settings.max_event_bytes:
            self._metrics.dropped("too_large")
            return None
        return line

    def _put(self, line: bytes, share: float) -> bool:
        """Add a line to the queue if it then takes no more than a share of it; return whether it was added."""
        with self._changed:
            bytes_then = self._queue_bytes + len(line)
            if (
                len(self._queue) >= self._settings.queue_size * share
                or bytes_then > self._settings.queue_max_bytes * share
            ):
                return False
            self._queue.append(line)
            self._queue_bytes = bytes_then
            self._changed.notify()
        return True

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what is queued, to the sink or to the spool, and end.

        What a sink that does not return has not taken by then is lost and counted. What is left in the spool stays
        there for the next process.
        """
        with self._changed:
            self._closing = True
            self._replay_until = time.monotonic() + timeout_seconds / 2
            self._changed.notify()
        if self._thread.ident is None:  # never started
            self._run()
            return
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            self._metrics.dropped("shutdown", len(self._queue))

    def _run(self) -> None:
        try:
            while self._step():
                pass
        finally:
            self._sink.close()
            if self._spool:
                self._spool.close()

    def _step(self) -> bool:
        """Write one batch from the queue and one from the spool, as they are due. False at the end."""
        batch = self._next_batch()
        if batch:
            straight = self._may_try and not self._backlog
            self._keep(batch[self._write(batch) if straight else 0 :])
        if self._backlog and self._may_try:
            self._replay()
        replaying = self._backlog and not self._fault and time.monotonic() < self._replay_until
        return bool(batch) or not self._closing or replaying

    @property
    def _may_try(self) -> bool:
        return not self._fault or time.monotonic() >= self._retry_at

    @property
    def _backlog(self) -> bool:
        return self._spool is not None and not self._spool.is_empty

    def _next_batch(self) -> list[bytes]:
        """Wait until there are events, the spool is due, or the log closes; return the events, oldest first."""
        with self._changed:
            if not self._queue and not self._closing:
                if not self._backlog:
                    self._changed.wait()
                elif self._fault:
                    self._changed.wait(max(0.0, self._retry_at - time.monotonic()))
            batch: list[bytes] = []
            size = 0
            while self._queue and len(batch) < _BATCH and size < _BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += len(batch[-1])
            self._queue_bytes -= size
            self._metrics.queue_bytes(self._queue_bytes)
        return batch

    def _write(self, batch: Sequence[bytes]) -> int:
        """Write to the sink; return how many events it took."""
        try:
            self._sink.write(batch)
        except PartialWrite as error:
            self._metrics.written(error.written)
            self._stopped(error)
            return error.written
        except Exception as error:
            self._stopped(error)
            return 0
        self._metrics.written(len(batch))
        self._resumed()
        return len(batch)

    def _keep(self, batch: Sequence[bytes]) -> None:
        """Write events to the spool that the sink has not taken; count those that are lost."""
        if not batch:
            return
        if self._spool is None:
            self._metrics.dropped("sink_failed", len(batch))
            return
        try:
            kept = self._spool.append(batch)
        except OSError as error:
            logger.error("the event spool cannot be written: %s", error)
            self._metrics.dropped("spool_failed", len(batch))
            return
        self._metrics.spooled(kept)
        self._metrics.dropped("spool_full", len(batch) - kept)
        self._metrics.spool_bytes(self._spool.size, self._spool.max_bytes)

    def _replay(self) -> None:
        """Write the oldest events of the spool to the sink."""
        assert self._spool is not None
        try:
            batch, taken = self._spool.peek(_BATCH, _BATCH_BYTES)
            written = self._write(batch) if batch else 0
            if 0 < written < len(batch):
                _, taken = self._spool.peek(written, _BATCH_BYTES)
            if written or not batch:
                self._spool.delivered(taken)
        except OSError as error:
            self._stopped(error)
        self._metrics.spool_bytes(self._spool.size, self._spool.max_bytes)

    def _stopped(self, error: Exception) -> None:
        """The sink does not take events: leave it alone for a while."""
        self._pause = min(_LONGEST_PAUSE_SECONDS, self._pause * 2 or _FIRST_PAUSE_SECONDS)
        self._retry_at = time.monotonic() + self._pause
        fault: SinkFault = "refused" if isinstance(error, SinkRefused) else "failed"
        if fault != self._fault:  # one line for each outage, not one for each event
            fate = "go to the spool" if self._spool else "are being lost"
            logger.warning("events %s: %s", fate, error)
            self._metrics.sink_stopped(fault)
        self._fault = fault

    def _resumed(self) -> None:
        if self._fault:
            logger.info("the event sink takes events again")
            self._metrics.sink_resumed()
        self._fault, self._pause = None, 0.0


def open_event_log(settings: EventSettings, store_url: str, metrics: EventMetrics) -> EventLog | None:
    """Open the sink and the spool of the settings; the caller starts the log and closes it.

    Args:
        settings: of the events.
        store_url: of the feature store, whose server a Redis sink must not use.
        metrics: that the log reports to.

    Returns:
        The log, or None where events are off.

    Raises:
        ConfigurationError: the sink or the spool cannot be used as configured.
    """
    sink = open_sink(settings, store_url)
    if sink is None:
        return None
    spool = Spool(settings.spool_path, settings.spool_max_bytes) if settings.spool_path else None
    return EventLog(sink, spool, settings, metrics)
