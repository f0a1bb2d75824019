"""The shadow: a sampled copy of the requests goes to a candidate bundle, whose answers are compared and never shown.

The candidate runs in one thread of low priority, one request at a time, after the answer was sent. Where it is busy,
copies are dropped. It reads the evidence that the served bundle read, the personal queries included.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

from evidence.schema import Evidence
from generation.bundle import Bundle
from generation.bundle.files import read_manifest
from generation.engine import Engine
from generation.errors import GenerationError
from generation.request import GenerationRequest
from service.answering.answer import Answer
from service.answering.normalize import query_key
from service.answering.pipeline import candidates_of
from service.answering.policy import Judged, Trigger
from service.answering.request import RecommendRequest
from service.errors import ServiceError
from service.instance import Instance
from service.operating.low_priority import start_at_low_priority
from service.parts import Parts
from service.settings import ShadowSettings

logger = logging.getLogger(__name__)

MAX_WAITING = 8
"""Copies that wait for the candidate; further ones are dropped."""

DELAY_SECONDS = 0.05
"""From the end of the answer to the copy: the answer has been written to its socket by then."""

_PATIENT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Copied:
    """What is kept of a request and of its answer.

    Attributes:
        photo_id: the video.
        category: of the video.
        num_queries: that were asked for.
        evidence: that the served bundle read.
        served: its queries, without pinned ones; empty if nothing was shown.
        recent_keys: of its queries that the viewer was shown recently.
        served_seconds: of its generation; None if it came from the result cache.
    """

    photo_id: str
    category: str | None
    num_queries: int
    evidence: Evidence
    served: list[str]
    recent_keys: frozenset[str]
    served_seconds: float | None


class Shadow:
    """Sends copies to a candidate. ``offer``, ``start`` and ``stop`` belong to one event loop.

    Attributes:
        fault: why the candidate cannot be run; None if it can.
    """

    def __init__(self, instance: Instance, settings: ShadowSettings) -> None:
        """Prepare a shadow that does nothing before ``start``.

        Args:
            instance: its rules, terms and metrics; the served bundle.
            settings: the candidate and the share of requests.
        """
        self._instance = instance
        self._settings = settings
        self._metrics = instance.metrics.shadow
        self._queue: queue.Queue[Copied] = queue.Queue(MAX_WAITING)
        self._sampled = random.Random()
        self._stop: threading.Event | None = None
        self._ended: asyncio.Future[None] | None = None
        self.fault: str | None = None

    @property
    def loaded(self) -> bool:
        """Whether a candidate is in memory, or is being loaded."""
        return self._stop is not None and self.fault is None

    def offer(self, request: RecommendRequest, answer: Answer) -> None:
        """Copy a request, if it is one of the sample, and if its answer was generated and not cut."""
        if self._stop is None or self._sampled.random() >= self._settings.share:
            return
        if not answer.source_text or "deadline" in answer.degraded:
            return
        seconds = answer.seconds.get("encode", 0.0) + answer.seconds.get("decode", 0.0)
        copied = Copied(
            photo_id=request.photo_id,
            category=answer.category,
            num_queries=request.num_queries,
            evidence=answer.evidence,
            served=_generated(answer.shown),
            recent_keys=frozenset(query_key(item.query) for item in answer.judged if item.rule == "recently_shown"),
            served_seconds=seconds or None,
        )
        asyncio.get_running_loop().call_later(DELAY_SECONDS, self._put, copied)

    def start(self) -> None:
        """Begin to load the candidate, unless it is the served bundle."""
        path = self._settings.bundle
        if path is None or not self._settings.share or self._stop is not None:
            return
        self.fault = None
        try:
            if read_manifest(path).get("model_version") == self._instance.parts.bundle.model_version:
                return
        except GenerationError as error:
            self._failed(error)
            return
        stop = self._stop = threading.Event()
        parts = self._instance.parts
        self._ended = asyncio.wrap_future(start_at_low_priority(lambda: self._run(parts, stop), "onebar-shadow"))

    async def stop(self) -> None:
        """Free the candidate. Copies that wait are dropped."""
        if self._stop is not None and self._ended is not None:
            self._stop.set()
            await self._ended
        self._stop = self._ended = None
        while not self._queue.empty():
            self._queue.get_nowait()

    def abandon(self) -> None:
        """Begin to free the candidate, and do not wait: the process ends."""
        if self._stop is not None and self._ended is not None:
            self._stop.set()
            self._ended.cancel()

    def describe(self) -> dict[str, Any] | None:
        """Return ``shadow`` of ``GET /bundle``; None without a candidate."""
        if self._settings.bundle is None or not self._settings.share:
            return None
        return {
            "bundle": str(self._settings.bundle),
            "share": self._settings.share,
            "running": self.loaded,
            "fault": self.fault,
        }

    def _put(self, copied: Copied) -> None:
        try:
            self._queue.put_nowait(copied)
        except queue.Full:
            self._metrics.count("dropped")

    def _failed(self, error: Exception) -> None:
        self.fault = str(error) or type(error).__name__
        logger.error("the candidate of the shadow cannot be run: %s", self.fault)

    def _run(self, served: Parts, stop: threading.Event) -> None:
        """Load the candidate and answer copies until ``stop`` is set. Everything is freed with this call."""
        try:
            parts = served.with_bundle(self._settings.bundle or served.bundle.path)
            engine = Engine(parts.bundle, parts.threads, backend=parts.backend)
            engine.warm_up()
        except (GenerationError, ServiceError) as error:
            self._failed(error)
            return
        except Exception as error:
            logger.exception("the candidate of the shadow could not be loaded")
            self._failed(error)
            return
        logger.info("the shadow runs", extra={"model_version": parts.bundle.model_version})
        while not stop.is_set():
            try:
                copied = self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
            began = time.perf_counter()
            try:
                self._compare(parts, engine, copied)
            except Exception:
                logger.exception("the candidate failed on a copied request")
                self._metrics.count("failed")
            stop.wait(time.perf_counter() - began)  # half of the time is left to the answers themselves

    def _compare(self, parts: Parts, engine: Engine, copied: Copied) -> None:
        source = parts.renderer.render(copied.evidence)
        deadline = time.perf_counter() + _PATIENT_SECONDS
        constraints = parts.constraints
        generation = engine.generate(
            GenerationRequest(source.token_ids, constraints.options, deadline, constraints.processors)
        )
        bundle: Bundle = parts.bundle
        exposure = self._instance.rules.policy.at(bundle.reject_threshold).decide(
            candidates_of(bundle, generation),
            generation.reject_probability,
            Trigger(copied.photo_id, copied.category, copied.recent_keys),
            copied.num_queries,
        )
        self._metrics.compared(copied.served, _generated(exposure.shown))
        self._metrics.took(copied.served_seconds, generation.encode_seconds + generation.decode_seconds)


def _generated(shown: tuple[Judged, ...]) -> list[str]:
    return [item.query for item in shown if item.rule != "pinned"]
