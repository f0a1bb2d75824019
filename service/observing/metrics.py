"""The metrics of the service: a registry of its own, base units, bounded labels.

The children of labelled metrics are looked up once where possible, so that an observation is one addition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from feature_store import DEGRADATIONS as STORE_DEGRADATIONS
from service.observing.bundle_metrics import BundleMetrics
from service.observing.engine_metrics import EngineMetrics
from service.observing.event_metrics import EventMetrics
from service.observing.shadow_metrics import ShadowMetrics
from service.outcomes import CACHE_LOOKUPS, CONNECTION_CLOSES, DEGRADATIONS, POLICY_RULES, REASONS, STAGES, CacheLookup

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS_MS = (
    1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 25, 28, 30, 35, 40, 50, 75, 100, 250, 1000,
)  # fmt: skip
"""Narrow between 5 and 35 ms, around the objective of 30 ms; the default buckets are too wide there."""
BUCKETS_SECONDS = tuple(ms / 1000 for ms in BUCKETS_MS)

_LAG_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)

REFUSALS = ("queue_full", "expected_wait", "not_ready", "event_queue_full")
FEEDBACK = ("click", "engagement", "order")
STATUSES = ("200", "429", "500", "503")
"""Statuses of answers and failures; their series exist from the start."""
PATHS = ("/recommend", "/recommend/batch", "/feedback", "/healthz", "/readyz", "/metrics", "/version", "other")


class Metrics:
    """Every metric of one service instance; build one for each app."""

    def __init__(self) -> None:
        """Create every metric, with the series that alerts read."""
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.engine = EngineMetrics(self.registry)
        self.events = EventMetrics(self.registry)
        self.bundles = BundleMetrics(self.registry)
        self.shadow = ShadowMetrics(self.registry)
        self._http = self._counter("http_requests", "HTTP requests by path and status.", ("path", "status"))
        self._batch_items = self._counter("batch_items", "Items of batches by status.", ("status",))
        self._closed = self._counter("connections_closed", "Connections closed by a limit, by cause.", ("cause",))
        self._loop_lag = Histogram(
            "onebar_event_loop_lag_seconds", "Delay of a timer on the event loop, 50 times a second.",
            registry=self.registry, buckets=_LAG_SECONDS,
        )  # fmt: skip
        self._stages = self._stage_histograms()
        self._answers = self._counter(
            "answers", "Answers by decision and by the reason for showing nothing.", ("decision", "reason")
        )
        self._degraded = self._counter(
            "degraded_answers", "Degraded answers by cause; an answer may have several.", ("cause",)
        )
        self._with_degradation = self._counter("answers_with_degradation", "Degraded answers, each counted once.", ())
        self._store_errors = self._counter(
            "feature_store_errors", "Fetches that were incomplete, by cause.", ("cause",)
        )
        self._refused = self._counter("refused_requests", "Requests refused before any work.", ("cause",))
        self._dropped = self._counter("hypotheses_dropped", "Hypotheses that were not shown, by rule.", ("rule",))
        lookups = self._counter("result_cache_lookups", "Lookups in the result cache by result.", ("result",))
        self._lookups = {lookup: lookups.labels(lookup) for lookup in CACHE_LOOKUPS}
        self._generation_errors = self._counter("generation_errors", "Requests in which the engine raised.", ())
        self._cancelled = self._counter("cancelled_requests", "Requests whose client left before the answer.", ())
        feedback = self._counter("feedback", "Feedback that was accepted, by kind of event.", ("event",))
        self._feedback = {event: feedback.labels(event) for event in FEEDBACK}
        self._shown_lost = self._counter("shown_queries_lost", "Shown queries that were not recorded.", ())
        self.steps = Histogram(
            "onebar_generation_steps", "Decoder steps of a generation.", registry=self.registry,
            buckets=(0, 1, 2, 4, 6, 8, 10, 12, 16, 24, 32),
        )  # fmt: skip
        for status in STATUSES:  # a series that begins with its first error would hide that error from rate()
            self._batch_items.labels(status)
            for path in ("/recommend", "/recommend/batch"):
                self._http.labels(path, status)
        for cause in CONNECTION_CLOSES:
            self._closed.labels(cause)
        for cause in REFUSALS:
            self._refused.labels(cause)
        for cause in DEGRADATIONS:
            self._degraded.labels(cause)
        for cause in STORE_DEGRADATIONS:
            self._store_errors.labels(cause)
        for reason in REASONS:
            self._answers.labels("abstain", reason)
        self._answers.labels("recommend", "")
        self._model: Gauge | None = None
        self._rules = {rule: self._dropped.labels(rule) for rule in POLICY_RULES if rule != "pinned"}

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"onebar_{name}", text, labels, registry=self.registry)

    def _stage_histograms(self) -> Mapping[str, Histogram]:
        family = Histogram(
            "onebar_stage_duration_seconds", "Time of a request in each stage.", ("stage",),
            registry=self.registry, buckets=BUCKETS_SECONDS,
        )  # fmt: skip
        return {stage: family.labels(stage) for stage in STAGES}

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when it is scraped."""
        Gauge(f"onebar_{name}", text, registry=self.registry).set_function(value)

    def describe_model(self, **labels: str) -> None:
        """Set the info metric of the served model and its rules; its value is always 1."""
        if self._model is None:
            self._model = Gauge("onebar_model_info", "The model that is served.", tuple(labels), registry=self.registry)
        self._model.clear()  # of the labels of before
        self._model.labels(**labels).set(1)

    def http(self, path: str, status: int) -> None:
        """Count one HTTP response."""
        self._http.labels(path if path in PATHS else "other", str(status)).inc()

    def loop_lag(self, seconds: float) -> None:
        """Record one delay of the event loop."""
        self._loop_lag.observe(seconds)

    def batch_item(self, status: int) -> None:
        """Count one item of a batch."""
        self._batch_items.labels(str(status)).inc()

    def connection_closed(self, cause: str) -> None:
        """Count one connection that a limit closed (``service.outcomes.CONNECTION_CLOSES``)."""
        self._closed.labels(cause).inc()

    def answer(self, decision: str, reason: str | None, degraded: Sequence[str], seconds: Mapping[str, float]) -> None:
        """Count one answer, with the time of each stage that it reached, in seconds."""
        self._answers.labels(decision, reason or "").inc()
        if degraded:
            self._with_degradation.inc()
        for cause in degraded:
            self._degraded.labels(cause).inc()
        for stage, duration in seconds.items():
            self._stages[stage].observe(duration)

    def cache_lookup(self, lookup: CacheLookup) -> None:
        """Count one lookup in the result cache."""
        self._lookups[lookup].inc()

    def dropped(self, rule: str) -> None:
        """Count one hypothesis that was not shown."""
        self._rules[rule].inc()

    def store_errors(self, causes: Iterable[str]) -> None:
        """Count the causes for which a fetch was incomplete."""
        for cause in causes:
            self._store_errors.labels(cause).inc()

    def refused(self, cause: str) -> None:
        """Count one refused request."""
        self._refused.labels(cause).inc()

    def generation_failed(self) -> None:
        """Count one engine error."""
        self._generation_errors.inc()

    def cancelled(self) -> None:
        """Count one request whose client disconnected."""
        self._cancelled.inc()

    def feedback(self, event: str) -> None:
        """Count one accepted event of a viewer."""
        self._feedback[event].inc()

    def shown_lost(self) -> None:
        """Count one answer whose queries were not recorded as shown."""
        self._shown_lost.inc()

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self.registry)
