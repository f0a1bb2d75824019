"""The metrics of the engine: an observer of its scheduler, called in the engine's thread."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

OUTCOMES = ("finished", "deadline", "cancelled", "failed")

_WAIT_SECONDS = (0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0)
_STEP_SECONDS = (0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02, 0.05, 0.25)
_ENCODE_SECONDS = (0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02, 0.05, 0.25)
_ROWS = (1, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)


class EngineMetrics:
    """A ``generation.scheduler.SchedulerObserver``. One for each app; every call is one or two additions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Create the metrics in a registry."""

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"onebar_engine_{name}", text, registry=registry, buckets=buckets)

        self._queue = histogram("queue_wait_seconds", "Time of a request before its encoder pass.", _WAIT_SECONDS)
        self._encode = histogram("encode_seconds", "Time of an encoder pass.", _ENCODE_SECONDS)
        self._step = histogram("step_seconds", "Time of a decoder step.", _STEP_SECONDS)
        self._rows = histogram("step_rows", "Rows (beams of all requests) of a decoder step.", _ROWS)
        ended = Counter(
            "onebar_engine_requests", "Requests that left the engine, by outcome.", ("outcome",), registry=registry
        )
        self._ended = {outcome: ended.labels(outcome) for outcome in OUTCOMES}

    def started(self, queue_seconds: float) -> None:
        """Record that a request left the queue."""
        self._queue.observe(queue_seconds)

    def encoded(self, source_tokens: int, seconds: float) -> None:
        """Record an encoder pass."""
        self._encode.observe(seconds)

    def stepped(self, requests: int, rows: int, seconds: float) -> None:
        """Record a decoder step."""
        self._step.observe(seconds)
        self._rows.observe(rows)

    def ended(self, outcome: str) -> None:
        """Record that a request left the engine."""
        self._ended[outcome].inc()
