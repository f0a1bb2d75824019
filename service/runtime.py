"""The living parts of one service instance: what is built before it starts, and what starts and stops with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import feature_store
from evidence.embedding import EMBEDDING_VERSION
from evidence.errors import EvidenceError
from evidence.render import Renderer
from evidence.safety import ProhibitedTerms, load_terms
from feature_store import Store, StoreUrlError
from feature_store.errors import LoadError
from feature_store.loader import load_path
from generation.bundle import load_bundle
from generation.engine import Engine
from service.admission import Admission
from service.answer import Answer
from service.cores import available_cores
from service.deadline import Deadline
from service.errors import ConfigurationError, NotReady, ServiceError
from service.events import EventLog, open_sink
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.policy import Policy
from service.rules import Rules, load_rules
from service.runner import GenerationRunner, WorkerThread
from service.settings import Settings
from service.shown import ShownRecorder
from service.warm_up import warm_up
from service.wire import RecommendRequest

logger = logging.getLogger(__name__)


class Runtime:
    """One service instance. The constructor loads and checks files, ``start`` begins to serve, ``stop`` ends it."""

    def __init__(self, settings: Settings, runner: GenerationRunner | None = None) -> None:
        """Load the bundle, the rules and the prohibited terms.

        Args:
            settings: the whole tree.
            runner: how generations are scheduled; by default one thread around the bundle's engine.

        Raises:
            BundleError: the bundle must not be served.
            ConfigurationError: rules, terms or the event sink cannot be used.
        """
        self.settings = settings
        self.bundle = load_bundle(settings.bundle)
        self.rules = load_rules(settings.rules) if settings.rules else Rules()
        self._terms = _load_terms(settings)
        self.metrics = Metrics()
        threads = settings.intra_op_threads or available_cores()
        self.runner = runner or WorkerThread(lambda: Engine(self.bundle, threads=threads))
        self.admission = Admission(settings.max_queue)
        sink = open_sink(settings.events)
        self._events = EventLog(sink, settings.events.queue_size, self.metrics.event_dropped) if sink else None
        self.draining = False
        self.start_error: ServiceError | None = None
        self._store: Store | None = None
        self._shown: ShownRecorder | None = None
        self._pipeline: Pipeline | None = None
        self._event_fields = {
            "model_version": self.bundle.model_version,
            "rules_version": self.rules.version,
            "embedding_version": EMBEDDING_VERSION,
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

    async def start(self) -> None:
        """Open the store, warm the engine up, start the background work.

        Raises:
            ServiceError: which ``start_error`` keeps for whoever runs the server.
        """
        try:
            await self._start()
        except ServiceError as error:
            self.start_error = error
            raise

    async def _start(self) -> None:
        settings = self.settings
        self._store = await self._open_store()
        if self._events:
            self._events.start()
        window = self.rules.recently_shown.window_seconds if self.rules.recently_shown else None
        self._shown = ShownRecorder(self._store, self.metrics.shown_lost)
        self._shown.start()
        pipeline = Pipeline(
            settings=settings,
            bundle=self.bundle,
            renderer=Renderer(self.bundle.tokenizer, self.bundle.render_budgets),
            store=self._store,
            runner=self.runner,
            admission=self.admission,
            policy=Policy(self.rules, self._terms, self.bundle.reject_threshold),
            metrics=self.metrics,
            recently_shown_seconds=window,
        )
        await self.runner.start()
        await warm_up(pipeline)
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
        explain = request.explain and self.settings.explain_enabled
        return answer.to_wire(self.bundle.model_version, timings_ms, explain), timings_ms

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
            "embedding_version": EMBEDDING_VERSION,
            "rules_version": self.rules.version,
            "prohibited_terms": len(self._terms),
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

    async def _open_store(self) -> Store:
        settings = self.settings.store
        window = self.rules.recently_shown.window_seconds if self.rules.recently_shown else None
        timeout = settings.timeout_ms / 1000
        options = feature_store.StoreSettings(timeout_seconds=timeout, socket_timeout_seconds=max(0.05, timeout))
        if window is not None:
            options = feature_store.StoreSettings(
                timeout_seconds=timeout, socket_timeout_seconds=max(0.05, timeout), shown_window_seconds=window
            )
        try:
            store = await feature_store.open_store(settings.url, options)
            for path in settings.evidence:
                writer = getattr(store, "writer", None)
                if writer is None:
                    raise ConfigurationError(
                        "Evidence files are loaded into memory:// alone; use `onebar evidence load` for other stores."
                    )
                report = load_path(path, writer())
                logger.info("evidence loaded", extra={"file": path.name, "rows": report.written, "bad": report.bad})
        except (StoreUrlError, LoadError) as error:
            raise ConfigurationError(str(error)) from error
        return store

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
            "generation_estimate_seconds", "What admission expects of one generation.",
            lambda: self.admission.generation_seconds,
        )  # fmt: skip


def _load_terms(settings: Settings) -> ProhibitedTerms:
    try:
        return ProhibitedTerms(load_terms(settings.prohibited_terms) if settings.prohibited_terms else ())
    except EvidenceError as error:
        raise ConfigurationError(str(error)) from error
