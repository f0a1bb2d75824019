"""The started pipeline of a bundle, with its cache and its engine, and the metrics and recorders of the instance."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from feature_store import Store
from service.answering.admission import Admission
from service.answering.answer import Answer
from service.answering.caller import Caller
from service.answering.deadline import Deadline
from service.answering.pipeline import Pipeline
from service.answering.recent_answers import RecentAnswers
from service.answering.request import RecommendRequest
from service.answering.result_cache import ResultCache
from service.answering.rules_in_force import RulesInForce
from service.answering.runner import GenerationRunner
from service.answering.shown import ShownRecorder
from service.observing.events import EventLog
from service.observing.logs import bind_request
from service.observing.metrics import Metrics
from service.parts import Parts

Mirror = Callable[[RecommendRequest, Answer], None]
"""Is given every request with its answer (``service/operating/shadow.py``)."""

_RECENT_PHOTOS = 32
"""Videos of the latest requests. The vectors that the store has of them are compared with those of a new bundle."""


@dataclass(slots=True)
class Users:
    """The number of requests that hold a Serving, from before their body is read. For one event loop."""

    count: int = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count a request."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Serving:
    """A started pipeline and its recorders. All of them report to the same ``metrics``.

    ``rehearsal`` builds one without side effects: its metrics are discarded, and it has no cache and no recorders.
    ``beside`` builds the one of another bundle. Cache, admission and engine are those of one bundle; the recorders are
    those of the instance.
    """

    parts: Parts
    runner: GenerationRunner
    store: Store
    metrics: Metrics
    admission: Admission
    cache: ResultCache | None
    pipeline: Pipeline
    shown: ShownRecorder | None
    events: EventLog | None
    recent: RecentAnswers | None
    mirror: Mirror | None = None
    recent_photos: deque[str] = field(default_factory=lambda: deque(maxlen=_RECENT_PHOTOS))
    users: Users = field(default_factory=Users)

    @classmethod
    def rehearsal(cls, parts: Parts, rules: RulesInForce, runner: GenerationRunner, store: Store) -> Serving:
        """Build a Serving for the requests of the warm-up."""
        return cls._build(parts, rules, runner, store, Metrics())

    @classmethod
    def start(
        cls,
        parts: Parts,
        rules: RulesInForce,
        runner: GenerationRunner,
        store: Store,
        metrics: Metrics,
        events: EventLog | None,
        recent: RecentAnswers | None,
        mirror: Mirror | None,
    ) -> Serving:
        """Build a Serving for real requests, and start its recorders on the running event loop."""
        shown = ShownRecorder(store, metrics.shown_lost)
        shown.start()
        if events:
            events.start()
        runner.observe(metrics.engine)
        cache = _cache(parts, metrics)
        return cls._build(parts, rules, runner, store, metrics, cache, shown, events, recent, mirror)

    def beside(self, parts: Parts, runner: GenerationRunner) -> Serving:
        """Build a Serving for the requests of another bundle, with an empty cache and the same recorders."""
        runner.observe(self.metrics.engine)
        cache = _cache(parts, self.metrics)
        serving = self._build(
            parts,
            self.pipeline.rules,
            runner,
            self.store,
            self.metrics,
            cache,
            self.shown,
            self.events,
            self.recent,
            self.mirror,
        )
        serving.recent_photos.extend(self.recent_photos)
        return serving

    @classmethod
    def _build(
        cls,
        parts: Parts,
        rules: RulesInForce,
        runner: GenerationRunner,
        store: Store,
        metrics: Metrics,
        cache: ResultCache | None = None,
        shown: ShownRecorder | None = None,
        events: EventLog | None = None,
        recent: RecentAnswers | None = None,
        mirror: Mirror | None = None,
    ) -> Serving:
        settings = parts.settings
        admission = Admission(
            settings.max_queue,
            runner.expected_seconds,
            parts.bundle.render_budgets.max_source_tokens,
            settings.response_reserve_ms / 1000,
        )
        pipeline = Pipeline(
            settings=settings,
            bundle=parts.bundle,
            renderer=parts.renderer,
            personal=parts.personal,
            store=store,
            runner=runner,
            cache=cache,
            admission=admission,
            rules=rules,
            metrics=metrics,
            recently_shown_seconds=parts.shown_window_seconds,
            key_ring=parts.key_ring,
        )
        return cls(parts, runner, store, metrics, admission, cache, pipeline, shown, events, recent, mirror)

    def refuse_if_overloaded(self, arrived_at: float, deadline_ms: float | None) -> None:
        """Raise Overloaded if a request with this deadline would be refused now; take no permit."""
        self.admission.check(Deadline.after(arrived_at, deadline_ms or self.parts.settings.default_deadline_ms))

    async def recommend(
        self, request: RecommendRequest, caller: Caller, arrived_at: float, traceparent: str | None
    ) -> tuple[dict[str, Any], Mapping[str, float]]:
        """Answer one request.

        Args:
            request: the validated body.
            caller: decides whether ``explain`` and ``search`` are returned and whether the shown queries are recorded.
            arrived_at: arrival of the request, in ``time.perf_counter()`` seconds.
            traceparent: the header of the request, for the event; None without one.

        Returns:
            The body of the answer, and the milliseconds of each request stage.

        Raises:
            RequestRefused: the service is overloaded, or the engine failed.
        """
        bind_request(traceparent=traceparent)
        self.recent_photos.append(request.photo_id)
        settings = self.parts.settings
        deadline = Deadline.after(arrived_at, request.deadline_ms or settings.default_deadline_ms)
        answer = await self.pipeline.answer(request, deadline)
        timings_ms = answer.timings_ms()
        self.metrics.answer(answer.decision, answer.reason, answer.degraded, answer.seconds)
        self.metrics.bundles.answer(self.parts.bundle.model_version, answer.decision)
        self._record(answer, request, caller, timings_ms, traceparent)
        if self.mirror is not None:
            self.mirror(request, answer)
        explain = self.parts.constraints.to_wire() if request.explain and caller.may_explain else None
        with_search = request.explain_search and caller.may_explain
        body = answer.to_wire(self.parts.bundle.model_version, timings_ms, explain, with_search=with_search)
        return body, timings_ms

    def _record(
        self,
        answer: Answer,
        request: RecommendRequest,
        caller: Caller,
        timings_ms: Mapping[str, float],
        traceparent: str | None,
    ) -> None:
        # Without this condition, any client without a key could fill the shown list of any user.
        keyed = caller.key_id is not None
        if keyed and answer.shown and answer.user_id and self.parts.rules.recently_shown and self.shown:
            self.shown.record(answer.user_id, [item.query for item in answer.shown])
        if self.events is None and self.recent is None:
            return
        versions = self.parts.versions() | {"rules_version": answer.rules_version}
        if self.recent is not None:
            self.recent.record(answer, versions)
        if self.events:
            asked = {
                "time_ms": round(time.time() * 1000),
                "num_queries": request.num_queries,
                "deadline_ms": request.deadline_ms or self.parts.settings.default_deadline_ms,
                "inline_evidence": request.evidence is not None,
                "traceparent": traceparent,
            }
            self.events.emit(answer.to_event(versions, timings_ms, asked))

    async def close(self) -> None:
        """Write the queued entries of the recorders, and stop them. The store and the engine stay open."""
        if self.shown:
            await self.shown.close()
        if self.events:
            await asyncio.to_thread(self.events.close)


def _cache(parts: Parts, metrics: Metrics) -> ResultCache | None:
    kept = parts.settings.result_cache
    return ResultCache(kept.max_bytes, kept.ttl_seconds, metrics.cache_lookup) if kept.max_bytes else None
