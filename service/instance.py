"""One service instance: it starts, serves, drains and stops, and owns the engine and the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from feature_store import CIRCUIT_STATES, Store
from service.answering.errors import NotReady
from service.answering.recent_answers import RecentAnswers, ReviewedAnswers
from service.answering.rules_in_force import RulesInForce
from service.answering.runner import GenerationRunner, GenerationScheduler
from service.answering.store import open_store
from service.errors import ServiceError
from service.observing.events import EventLog, open_event_log
from service.observing.loop_lag import LoopLag
from service.observing.metrics import Metrics
from service.parts import Parts, build_parts, build_scheduler
from service.serving import Mirror, Serving
from service.settings import Settings

logger = logging.getLogger(__name__)


class Instance:
    """The state of one instance.

    ``serving`` answers the requests: None before the start, a rehearsal during the warm-up, then the real one.
    ``parts`` and ``runner`` are those of the bundle that it serves; ``switch`` changes all three.
    ``rules`` are those in force. ``recent`` keeps recent answers in memory, or is None.
    ``reviewed`` is where reviewers find them: there, in the event stream, or nowhere (None).
    """

    def __init__(self, settings: Settings, scheduler: GenerationScheduler | None = None) -> None:
        """Load and check the files that the settings name, and start the engine.

        Args:
            settings: the whole tree.
            scheduler: by default the bundle's own engine; the instance closes it.

        Raises:
            BackendError: the wanted backend cannot run the bundle on this machine.
            BundleError: the bundle must not be served.
            ConfigurationError: rules, terms, constraints or the event sink cannot be used.
        """
        self.parts = parts = build_parts(settings)
        self._metrics = Metrics()
        # Before the engine: a wrong setting of the sink must not leave its thread behind.
        self._events = open_event_log(settings.events, settings.store.url, self._metrics.events)
        try:
            self.runner = GenerationRunner(
                scheduler or build_scheduler(parts), parts.bundle.model_version, parts.constraints
            )
        except BaseException:
            if self._events:
                self._events.close()
            raise
        self.rules = RulesInForce(settings.rules, parts.rules, parts.policy, parts.terms, parts.bundle.reject_threshold)
        self.rules.on_change = self._describe_model
        kept = settings.review.answers
        self.recent = RecentAnswers(kept, with_viewers=parts.key_ring is not None) if kept else None
        self.reviewed: ReviewedAnswers | None = _stream_of_answers(parts) if self.recent is None else self.recent
        self._following: asyncio.Task[None] | None = None
        self._store: Store | None = None
        self.serving: Serving | None = None
        self.mirror: Mirror | None = None
        """Given to the Serving at the start; set before it."""
        self.draining = False
        self._stopping = False
        self._lag = LoopLag(self._metrics.loop_lag)
        self.start_error: ServiceError | None = None
        """The error that prevented the start; read by the code that runs the server."""

    @property
    def events(self) -> EventLog | None:
        """The log of events; None where events are off."""
        return self._events

    @property
    def not_ready_because(self) -> str | None:
        """The reason why this instance takes no requests; None if it takes them."""
        if self.draining:
            return "This instance is draining; send the request to another one."
        return self._unable_because

    @property
    def engine_lost_because(self) -> str | None:
        """The reason why the process must be restarted, or None. The engine has ended, or made no step for too long."""
        if not self.runner.alive and not self._stopping:
            return "the loop of the engine has ended"
        stalled = self.runner.stalled_seconds
        return f"no step for {stalled:.1f} seconds" if stalled > self.parts.settings.engine_exit_seconds else None

    @property
    def _unable_because(self) -> str | None:
        """The reason why no request can be answered, or None. A draining instance still answers."""
        if self.serving is None:
            return "This instance is starting; try again in a second."
        if not self.runner.alive:
            return "The engine of this instance has stopped; send the request to another one."
        if self.runner.stalled_seconds > self.parts.settings.engine_stall_seconds:
            return "The engine of this instance does not answer; send the request to another one."
        return None

    def ready(self) -> Serving:
        """Return the Serving that answers requests, also while the instance drains.

        Raises:
            NotReady: no request can be answered now.
        """
        reason = self._unable_because
        if reason or self.serving is None:
            self.metrics.refused("not_ready")
            raise NotReady(reason or "")
        return self.serving

    @contextmanager
    def use(self) -> Iterator[Serving]:
        """Hold the Serving that answers requests, so that its engine is not stopped before the request has ended.

        Raises:
            NotReady: no request can be answered now.
        """
        serving = self.ready()
        with serving.users.one_more():
            yield serving

    def switch(self, serving: Serving) -> Serving:
        """Let another Serving answer the requests from now on, and return that of before.

        Requests that hold the one of before still end there. The caller closes its engine after them.
        """
        before = self.serving
        assert before is not None
        self.serving, self.parts, self.runner = serving, serving.parts, serving.runner
        self._describe_model(self.rules.rules.version or "")
        return before

    def rehearsal(self, parts: Parts, runner: GenerationRunner) -> Serving:
        """Build a Serving for requests without side effects, with the rules and the store of this instance."""
        assert self._store is not None
        return Serving.rehearsal(parts, self.rules, runner, self._store)

    @property
    def metrics(self) -> Metrics:
        """The metrics of the current Serving. A rehearsal has its own, which are discarded."""
        return self.serving.metrics if self.serving else self._metrics

    def count_response(self, path: str, status: int) -> None:
        """Count one HTTP response."""
        self.metrics.http(path, status)

    async def start(self, rehearse: Callable[[], Awaitable[None]]) -> None:
        """Open the store, rehearse, and begin to serve.

        Args:
            rehearse: sends requests to the application. A separate Serving answers them, so that they do not change
                the real metrics, cache, events and shown lists.

        Raises:
            ServiceError: the instance cannot start; ``start_error`` keeps it.
        """
        try:
            self._store = await open_store(
                self.parts.settings,
                self.parts.bundle.embedder.version,
                self.parts.shown_window_seconds,
                self.parts.key_ring,
            )
            self.serving = Serving.rehearsal(self.parts, self.rules, self.runner, self._store)
            try:
                # In a context of its own, so that log lines of later work do not carry the ids of these requests.
                await asyncio.ensure_future(rehearse())
            finally:
                self.serving = None
        except ServiceError as error:
            self.start_error = error
            raise
        serving = Serving.start(
            self.parts, self.rules, self.runner, self._store, self._metrics, self._events, self.recent, self.mirror
        )
        self._watch(self._store)
        self._lag.start()
        self.serving = serving
        logger.info("ready", extra={"model_version": self.parts.bundle.model_version, "store": self._store.url})

    async def stop(self) -> None:
        """Refuse new requests, end the background tasks, and write the queued events and shown queries."""
        self.draining = self._stopping = True
        await self._lag.close()
        if self._following:
            await asyncio.wait([self._following])
        await self.runner.close()
        if self.serving:
            await self.serving.close()
        elif self._events:
            await asyncio.to_thread(self._events.close)
        if self._store:
            await self._store.close()

    def follow_rules(self) -> None:
        """Begin to read the rules file again if it has changed. The event loop goes on meanwhile."""
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self.rules.follow())

    def _describe_model(self, rules_version: str) -> None:
        parts = self.parts
        self._metrics.describe_model(
            model_version=parts.bundle.model_version,
            precision=parts.bundle.precision,
            embedding_version=parts.bundle.embedder.version,
            rules_version=rules_version,
        )

    def _watch(self, store: Store) -> None:
        """Add the gauges that are read when metrics are scraped. They follow the bundle that is served."""
        metrics = self._metrics

        def now() -> Serving:
            assert self.serving is not None  # metrics are scraped after the start
            return self.serving

        self._describe_model(self.rules.rules.version or "")
        metrics.watch("queue_depth", "Requests that wait for the engine.", lambda: self.runner.waiting)
        metrics.watch("requests_in_flight", "Requests admitted and not yet answered.", lambda: now().admission.inside)
        metrics.watch("ready", "1 while this instance takes requests.", lambda: not self.not_ready_because)
        metrics.watch(
            "generation_estimate_seconds", "Expected time until a request that arrives now would be generated.",
            lambda: now().admission.expected_seconds(),
        )  # fmt: skip
        metrics.watch("engine_active_requests", "Requests that are being stepped.", lambda: self.runner.active)
        metrics.watch(
            "engine_stalled_seconds", "Time since a busy engine made a step.", lambda: self.runner.stalled_seconds
        )
        metrics.watch("event_loop_lag_max_seconds", "Largest recent delay of the event loop.", self._lag.largest)
        metrics.watch(
            "feature_store_circuit", "Circuit breaker of the store: 0 closed, 1 half open, 2 open.",
            lambda: CIRCUIT_STATES.index(store.circuit_state),
        )  # fmt: skip
        metrics.watch("result_cache_entries", "Generations in the result cache.", lambda: len(now().cache or ()))
        metrics.watch(
            "result_cache_bytes", "Memory of the result cache.", lambda: cache.size if (cache := now().cache) else 0
        )
        metrics.watch(
            "query_cache_entries", "Queries with cached token ids.", lambda: self.parts.renderer.cached_queries[0]
        )
        metrics.watch(
            "query_cache_bytes", "Memory of the cached token ids.", lambda: self.parts.renderer.cached_queries[1]
        )
        metrics.watch("vector_cache_entries", "Texts with cached vectors.", lambda: len(self.parts.personal.vectors))
        metrics.watch("vector_cache_bytes", "Memory of the cached vectors.", lambda: self.parts.personal.vectors.size)


def _stream_of_answers(parts: Parts) -> ReviewedAnswers | None:
    """Return the answers in the event stream; None where events go elsewhere."""
    events = parts.settings.events
    if events.sink != "redis_stream" or events.url is None:
        return None
    # The Redis client is loaded only where a store or a sink needs it.
    from service.answering.streamed_answers import StreamedAnswers

    return StreamedAnswers(events.url, events.stream, with_viewers=parts.key_ring is not None)
