"""The living parts of one service instance: what is built before it starts, and what starts and stops with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from importlib import metadata
from typing import Any

from evidence.embedding import EMBEDDING_VERSION
from evidence.errors import EvidenceError
from evidence.render import Renderer
from evidence.safety import ProhibitedTerms, load_terms
from feature_store import Store
from generation.backend import choose_backend
from generation.bundle import load_bundle
from generation.errors import OptionsError
from generation.scheduler import Scheduler
from service.admission import Admission
from service.answer import Answer
from service.constraints import load_constraints
from service.cores import available_cores
from service.deadline import Deadline
from service.errors import ConfigurationError, NotReady, ServiceError
from service.events import EventLog, open_sink
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.policy import Policy
from service.result_cache import ResultCache
from service.rules import Rules, load_rules
from service.runner import GenerationRunner, GenerationScheduler
from service.settings import Settings
from service.shown import ShownRecorder
from service.store import open_store
from service.wire import RecommendRequest

logger = logging.getLogger(__name__)


class Runtime:
    """One service instance. The constructor loads and checks files, ``start`` begins to serve, ``stop`` ends it."""

    def __init__(self, settings: Settings, scheduler: GenerationScheduler | None = None) -> None:
        """Load the bundle, the rules, the prohibited terms and the constraints; build the engine.

        Args:
            settings: the whole tree.
            scheduler: by default the bundle's own engine; the runtime closes it.

        Raises:
            BackendError: the backend that is wanted cannot run it here.
            BundleError: the bundle must not be served.
            ConfigurationError: rules, terms, constraints or the event sink cannot be used.
        """
        self.settings = settings
        self.bundle = load_bundle(settings.bundle)
        self._threads = settings.intra_op_threads or available_cores()
        self._backend = choose_backend(self.bundle, self._threads, settings.backend)
        self.rules = load_rules(settings.rules) if settings.rules else Rules()
        terms = _read_terms(settings)
        self._terms = ProhibitedTerms(terms)
        self.constraints = load_constraints(settings, self.bundle, terms)
        self.metrics = Metrics()
        self._engine = self.metrics.engine
        self.runner = GenerationRunner(
            scheduler or self._build_scheduler(), self.bundle.model_version, self.constraints
        )
        self.cache = _open_cache(settings, self.metrics)
        self.admission = Admission(
            settings.max_queue,
            self.runner.expected_seconds,
            self.bundle.render_budgets.max_source_tokens,
            settings.response_reserve_ms / 1000,
        )
        self._sink = open_sink(settings.events)
        self.draining = False
        self.start_error: ServiceError | None = None
        self._store: Store | None = None
        self._events: EventLog | None = None
        self._shown: ShownRecorder | None = None
        self._pipeline: Pipeline | None = None
        self._event_fields = {
            "model_version": self.bundle.model_version,
            "rules_version": self.rules.version,
            "embedding_version": EMBEDDING_VERSION,
            "constraints_version": self.constraints.version,
        }
        self._watch()

    @property
    def not_ready_because(self) -> str | None:
        """Why this instance takes no requests, or None where it does."""
        if self.draining:
            return "This instance is draining; send the request to another one."
        if self._pipeline is None:
            return "This instance is starting; try again in a second."
        if not self.runner.alive:
            return "The engine of this instance has stopped; send the request to another one."
        return None

    async def start(self, rehearse: Callable[[], Awaitable[None]]) -> None:
        """Open the store, start the background work, and rehearse before there is an audience.

        Args:
            rehearse: sends requests to the application; nothing of them is counted, kept or told.

        Raises:
            ServiceError: which ``start_error`` keeps for whoever runs the server.
        """
        try:
            await self._start(rehearse)
        except ServiceError as error:
            self.start_error = error
            raise

    async def _start(self, rehearse: Callable[[], Awaitable[None]]) -> None:
        settings = self.settings
        window = self.rules.recently_shown.window_seconds if self.rules.recently_shown else None
        self._store = await open_store(settings, window)
        pipeline = Pipeline(
            settings=settings,
            bundle=self.bundle,
            renderer=Renderer(self.bundle.tokenizer, self.bundle.render_budgets),
            store=self._store,
            runner=self.runner,
            cache=self.cache,
            admission=self.admission,
            policy=Policy(self.rules, self._terms, self.bundle.reject_threshold),
            metrics=self.metrics,
            recently_shown_seconds=window,
        )
        counted, self.metrics = self.metrics, Metrics()
        self._pipeline = replace(pipeline, metrics=self.metrics, cache=None)
        try:
            await rehearse()
        finally:
            self.metrics, self._pipeline = counted, None
        self._shown = ShownRecorder(self._store, self.metrics.shown_lost)
        self._shown.start()
        if self._sink:
            self._events = EventLog(self._sink, settings.events.queue_size, self.metrics.event_dropped)
            self._events.start()
        self._pipeline = pipeline
        logger.info("ready", extra={"model_version": self.bundle.model_version, "store": self._store.url})

    async def stop(self) -> None:
        """Refuse new requests, end the background work, flush what is queued."""
        self.draining = True
        await self.runner.close()
        if self._shown:
            await self._shown.close()
        if self._events:
            await asyncio.to_thread(self._events.close)
        if self._store:
            await self._store.close()

    async def recommend(
        self, request: RecommendRequest, arrived_at: float, traceparent: str | None
    ) -> tuple[dict[str, Any], Mapping[str, float]]:
        """Answer one request.

        Returns:
            The body, and the milliseconds of each stage.

        Raises:
            RequestRefused: no answer can be given.
        """
        self.refuse_unless_ready()
        assert self._pipeline is not None
        deadline = Deadline.after(arrived_at, request.deadline_ms or self.settings.default_deadline_ms)
        answer = await self._pipeline.answer(request, deadline)
        timings_ms = answer.timings_ms()
        self.metrics.answer(answer.decision, answer.reason, answer.degraded, answer.seconds)
        self._remember(answer, request, timings_ms, traceparent)
        explain = self.constraints.to_wire() if request.explain and self.settings.explain_enabled else None
        return answer.to_wire(self.bundle.model_version, timings_ms, explain), timings_ms

    def count_response(self, path: str, status: int) -> None:
        """Count one HTTP response."""
        self.metrics.http(path, status)

    def refuse_unless_ready(self) -> None:
        """Raises NotReady while this instance takes no requests."""
        reason = self.not_ready_because
        if reason:
            self.metrics.refused("draining" if self.draining else "not_ready")
            raise NotReady(reason)

    def version(self) -> dict[str, Any]:
        """What is running here (``wire.VersionResponse``)."""
        return {
            "service_version": metadata.version("onebar"),
            "model_version": self.bundle.model_version,
            "precision": self.bundle.precision,
            "backend": self._backend,
            "embedding_version": EMBEDDING_VERSION,
            "rules_version": self.rules.version,
            "prohibited_terms": len(self._terms),
            "constraints": self.constraints.to_wire(),
            "constraints_version": self.constraints.version,
        }

    def _remember(
        self, answer: Answer, request: RecommendRequest, timings_ms: Mapping[str, float], traceparent: str | None
    ) -> None:
        if answer.shown and answer.user_id and self.rules.recently_shown and self._shown:
            self._shown.record(answer.user_id, [item.query for item in answer.shown])
        if self._events:
            asked = {
                "time_ms": round(time.time() * 1000),
                "num_queries": request.num_queries,
                "deadline_ms": request.deadline_ms or self.settings.default_deadline_ms,
                "inline_evidence": request.evidence is not None,
                "traceparent": traceparent,
            }
            self._events.emit(answer.to_event(self._event_fields, timings_ms, asked))

    def _build_scheduler(self) -> Scheduler:
        scheduler = Scheduler(self.bundle, self._threads, observer=self._engine, backend=self._backend)
        try:
            scheduler.check_options(self.constraints.options)
        except OptionsError as error:
            scheduler.close(0.0)
            raise ConfigurationError(f"ONEBAR_DECODING__… cannot be used with this bundle: {error}.") from error
        return scheduler

    def _watch(self) -> None:
        self.metrics.describe_model(
            model_version=self.bundle.model_version,
            precision=self.bundle.precision,
            embedding_version=EMBEDDING_VERSION,
            rules_version=self.rules.version or "",
        )
        self.metrics.watch("queue_depth", "Requests that wait for the engine.", lambda: self.runner.waiting)
        self.metrics.watch("requests_in_flight", "Requests inside.", lambda: self.admission.inside)
        self.metrics.watch("ready", "1 while this instance takes requests.", lambda: not self.not_ready_because)
        self.metrics.watch(
            "generation_estimate_seconds", "What admission expects of a request that comes now, its wait included.",
            self.admission.expected_seconds,
        )  # fmt: skip
        self.metrics.watch("engine_active_requests", "Requests that are being stepped.", lambda: self.runner.active)
        self.metrics.watch("result_cache_entries", "Generations that are kept.", lambda: len(self.cache or ()))


def _read_terms(settings: Settings) -> list[tuple[str, str]]:
    try:
        return list(load_terms(settings.prohibited_terms)) if settings.prohibited_terms else []
    except EvidenceError as error:
        raise ConfigurationError(str(error)) from error


def _open_cache(settings: Settings, metrics: Metrics) -> ResultCache | None:
    cache = settings.result_cache
    return ResultCache(cache.entries, cache.ttl_seconds, metrics.cache_lookup) if cache.entries else None
