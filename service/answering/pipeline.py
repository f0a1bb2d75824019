"""From a validated request to an answer: fetch, gather evidence, render, generate, apply the policy.

Each stage is timed and may use only the remaining time of the deadline. A slow or failing store degrades the answer; it
does not fail the request.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from evidence.render import Renderer
from feature_store import Fetched, KeyRing, Store
from generation.bundle import Bundle
from generation.engine import Generation
from generation.errors import GenerationError
from service.answering.admission import Admission, Permit
from service.answering.answer import Answer
from service.answering.deadline import Deadline
from service.answering.evidence_source import evidence_version, gather
from service.answering.explanation import Details
from service.answering.normalize import query_key
from service.answering.pacing import Pacer
from service.answering.personal import PersonalSelector
from service.answering.policy import Candidate, Policy, Trigger
from service.answering.request import RecommendRequest
from service.answering.result_cache import ResultCache
from service.answering.rules_in_force import RulesInForce
from service.answering.runner import GenerationRunner, refusal
from service.answering.search_view import search_to_wire
from service.observing.logs import bind_request
from service.observing.metrics import Metrics
from service.outcomes import Degradation
from service.settings import Settings

_STORE_CAUSES: dict[str, Degradation] = {
    "feature_store_timeout": "feature_store_timeout",
    "feature_store_down": "feature_store_down",
    "feature_store_busy": "feature_store_busy",
    "photo_field_unreadable": "photo_field_unreadable",
    "user_unreadable": "user_unreadable",
    "shown_unreadable": "shown_unreadable",
}
"""Causes of a fetch that degrade the answer. Another embedding version does so only if the vectors were needed."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Answers requests with components that it does not own. Without a cache, every request is generated."""

    settings: Settings
    bundle: Bundle
    renderer: Renderer
    personal: PersonalSelector
    store: Store
    runner: GenerationRunner
    cache: ResultCache | None
    admission: Admission
    rules: RulesInForce
    metrics: Metrics
    recently_shown_seconds: int | None
    key_ring: KeyRing | None
    pacer: Pacer = field(default_factory=Pacer)

    async def answer(self, request: RecommendRequest, deadline: Deadline) -> Answer:
        """Answer one request within its deadline.

        Raises:
            Overloaded: the service has no capacity; no work was done.
            GenerationFailed: the engine raised, or has ended.
        """
        with self.admission.enter(deadline) as permit:
            viewer = self._viewer(request.user_id)
            answer = Answer(request.request_id or uuid.uuid4().hex, request.photo_id, viewer)
            answer.details = Details() if request.explain else None
            bind_request(request_id=answer.request_id)
            await self._run(request, deadline, answer, permit)
        answer.seconds["total"] = deadline.elapsed()
        return answer

    def _viewer(self, user_id: str | None) -> str | None:
        """Return the name of the viewer in the store, in events and in logs; later stages never use the id itself."""
        return user_id if user_id is None or self.key_ring is None else self.key_ring.pseudonym(user_id)

    async def _run(self, request: RecommendRequest, deadline: Deadline, answer: Answer, permit: Permit) -> None:
        fetched = await self._fetch(request, deadline, answer)
        category = answer.category = fetched.photo.category if fetched.photo else None
        policy = self.rules.policy.at(self.bundle.reject_threshold)
        answer.rules_version = policy.version
        if policy.blocks_category(category):
            answer.reason, answer.blocked_by = "all_filtered", "blocked_category"
            return
        await self.pacer.turn()
        source_ids = self._render(request, fetched, answer)
        self.pacer.spent(answer.seconds["render"])
        if source_ids is None:
            answer.reason = "no_evidence"
            return
        generation = await self._generate(source_ids, deadline, answer, permit, record_search=request.explain_search)
        if generation is None or generation.steps == 0:
            answer.degrade("deadline")
            answer.reason = "deadline"
            return
        started = time.perf_counter()
        if generation.deadline_reached:
            answer.degrade("deadline")
        self._apply_policy(policy, request, fetched, category, generation, answer)
        answer.seconds["policy"] = time.perf_counter() - started
        if request.explain_search:
            answer.search = search_to_wire(generation, self.runner.options, self.bundle)

    async def _fetch(self, request: RecommendRequest, deadline: Deadline, answer: Answer) -> Fetched:
        started = time.perf_counter()
        store = self.settings.store
        fetched = await self.store.fetch(
            request.photo_id,
            answer.user_id,
            want_shown=self.recently_shown_seconds is not None and answer.user_id is not None,
            timeout_seconds=deadline.share(store.share, store.timeout_ms / 1000),
            embedding_version=self.bundle.embedder.version,
        )
        if fetched.degraded:
            self.metrics.store_errors(fetched.degraded)
            for cause in fetched.degraded:
                if cause in _STORE_CAUSES:
                    answer.degrade(_STORE_CAUSES[cause])
        answer.seconds["feature_store"] = time.perf_counter() - started
        return fetched

    def _render(self, request: RecommendRequest, fetched: Fetched, answer: Answer) -> Sequence[int] | None:
        """Return the source token ids, or None if the video has no evidence."""
        started = time.perf_counter()
        if answer.details:
            answer.details.add_fields(request, fetched)
        evidence, causes = gather(request, fetched, self.personal)
        for cause in causes:
            answer.degrade(cause)
        if evidence.is_empty:
            answer.seconds["render"] = time.perf_counter() - started
            return None
        source = self.renderer.render(evidence)
        answer.evidence, answer.source_text = evidence, source.text
        answer.evidence_version = evidence_version(evidence)
        if answer.details:
            answer.details.add_segments(self.renderer, source)
        answer.seconds["render"] = time.perf_counter() - started
        return source.token_ids

    async def _generate(
        self, source_ids: Sequence[int], deadline: Deadline, answer: Answer, permit: Permit, *, record_search: bool
    ) -> Generation | None:
        """Return the generation, or None if the deadline came first.

        A generation whose search is recorded neither comes from the result cache nor goes into it: what is kept has no
        search, and with it would take more memory than the cache counts.
        """
        started = time.perf_counter()
        reserve = self.settings.response_reserve_ms / 1000
        cut_at = deadline.expires_at - reserve
        self.admission.observe(len(source_ids))
        permit.handed_over()
        start = partial(self.runner.start, source_ids, cut_at, record_search=record_search)
        try:
            # The engine ends the search at `cut_at`. This timeout is for a step that takes longer than that.
            async with asyncio.timeout(deadline.remaining() - reserve / 2):
                if self.cache is None or record_search:
                    generation = await start()
                else:
                    generation, answer.cache = await self.cache.get(self.runner.key(source_ids), cut_at, start)
        except TimeoutError:
            answer.seconds["queue"] = time.perf_counter() - started
            return None
        except GenerationError as error:
            self.metrics.generation_failed()
            raise refusal(error) from error
        if answer.cache == "hit":
            return generation
        waited = time.perf_counter() - started
        if answer.cache == "joined":  # generated for another request, so its stages are not those of this one
            answer.seconds["queue"] = waited
            return generation
        answer.seconds["queue"] = max(0.0, waited - generation.encode_seconds - generation.decode_seconds)
        answer.seconds["encode"] = generation.encode_seconds
        answer.seconds["decode"] = generation.decode_seconds
        self.metrics.steps.observe(generation.steps)
        return generation

    def _apply_policy(
        self,
        policy: Policy,
        request: RecommendRequest,
        fetched: Fetched,
        category: str | None,
        generation: Generation,
        answer: Answer,
    ) -> None:
        bundle = self.bundle
        candidates = candidates_of(bundle, generation)
        trigger = Trigger(request.photo_id, category, self._recent_keys(fetched))
        exposure = policy.decide(
            candidates, generation.reject_probability, trigger, request.num_queries, generation.deadline_reached
        )
        if answer.details:
            answer.details.add_rejection(generation.reject_probability, bundle.reject_threshold)
        answer.shown, answer.judged, answer.reason = exposure.shown, exposure.judged, exposure.reason
        for item in exposure.judged:
            if item.verdict == "dropped" and item.rule is not None:
                self.metrics.dropped(item.rule)

    def _recent_keys(self, fetched: Fetched) -> frozenset[str]:
        """Return the keys of the queries that the user was shown within the window of the rule."""
        if self.recently_shown_seconds is None or not fetched.shown:
            return frozenset()
        since_ms = (time.time() - self.recently_shown_seconds) * 1000
        return frozenset(query_key(item.query) for item in fetched.shown if item.shown_at_ms >= since_ms)


def candidates_of(bundle: Bundle, generation: Generation) -> list[Candidate]:
    """Return the hypotheses of a generation as texts, for the policy."""
    return [
        Candidate(
            query=" ".join(bundle.decode(hypothesis.token_ids).split()),
            score=hypothesis.score,
            is_reject=bundle.is_reject(hypothesis),
            finished=hypothesis.finished,
            forced=hypothesis.forced,
        )
        for hypothesis in generation.hypotheses
    ]
