"""Metrics of the event log: what became of each event, and the state of the sink and of the spool."""

from __future__ import annotations

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

DropCause = Literal[
    "too_large", "not_json", "queue_full", "sink_failed", "spool_full", "spool_failed", "spool_torn", "shutdown"
]
"""Why an event is lost.

- ``too_large``: over ``max_event_bytes``. ``not_json``: it cannot be encoded.
- ``queue_full``: the writer was too slow.
- ``sink_failed``: the sink failed and there is no spool.
- ``spool_full``: the sink failed and the spool is at its limit. ``spool_failed``: the disk failed.
- ``spool_torn``: the last line of a segment was incomplete, after a crash.
- ``shutdown``: the writer did not end in time when the process stopped.
"""

DROP_CAUSES: tuple[DropCause, ...] = get_args(DropCause)

SinkFault = Literal["refused", "failed"]
"""``refused``: the sink's server must not be used. ``failed``: a write or a connection failed."""


class EventMetrics:
    """What the event log reports. Safe to call from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Create the metrics in a registry."""

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"onebar_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"onebar_{name}", text, registry=registry)

        dropped = counter("events_dropped", "Events lost, by cause.", ("cause",))
        self._dropped = {cause: dropped.labels(cause) for cause in DROP_CAUSES}
        self._written = counter("events_written", "Events that the sink took.")
        self._spooled = counter("events_spooled", "Events written to the spool because the sink did not take them.")
        faults = counter("event_sink_faults", "Times that the sink stopped taking events, by cause.", ("cause",))
        self._faults = {fault: faults.labels(fault) for fault in get_args(SinkFault)}
        self._down = gauge("event_sink_down", "1 while the sink does not take events.")
        self._spool = gauge("event_spool_bytes", "Bytes in the spool.")
        self._spool_limit = gauge("event_spool_limit_bytes", "The most that the spool holds; 0 without a spool.")
        self._queue = gauge("event_queue_bytes", "Bytes of events that wait for the writer.")

    def dropped(self, cause: DropCause, count: int = 1) -> None:
        """Count events that will never reach the sink."""
        self._dropped[cause].inc(count)

    def written(self, count: int) -> None:
        """Count events that the sink took."""
        self._written.inc(count)

    def spooled(self, count: int) -> None:
        """Count events that were written to the spool."""
        self._spooled.inc(count)

    def sink_stopped(self, fault: SinkFault) -> None:
        """Note that the sink takes no events from now on."""
        self._faults[fault].inc()
        self._down.set(1)

    def sink_resumed(self) -> None:
        """Note that the sink takes events again."""
        self._down.set(0)

    def spool_bytes(self, used: int, limit: int) -> None:
        """Set the size of the spool."""
        self._spool.set(used)
        self._spool_limit.set(limit)

    def queue_bytes(self, used: int) -> None:
        """Set the bytes that wait for the writer."""
        self._queue.set(used)
