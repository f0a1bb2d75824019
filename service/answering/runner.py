"""Submits sources to the generation engine with the options and constraints that all requests share."""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from generation.engine import Generation
from generation.errors import GenerationError, RequestFailed, SchedulerStopped
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.scheduler_stats import SchedulerObserver
from service.answering.decoding import DecodingConstraints
from service.answering.errors import EngineStopped, GenerationFailed

logger = logging.getLogger(__name__)


class GenerationForecaster(Protocol):
    """The part of ``generation.forecaster.Forecaster`` that the service uses."""

    def expected_seconds(self, source_tokens: float, ahead: int, options: GenerationOptions) -> float:
        """Return the seconds, rarely exceeded, until a request submitted after ``ahead`` others would be answered."""


class GenerationScheduler(Protocol):
    """The part of ``generation.scheduler.Scheduler`` that the service uses."""

    @property
    def alive(self) -> bool:
        """Whether its loop runs."""

    @property
    def stalled_seconds(self) -> float:
        """Seconds since a loop that has work last finished a step; 0 while it has none."""

    @property
    def waiting(self) -> int:
        """Requests that are not yet encoded."""

    @property
    def active(self) -> int:
        """Requests that are being stepped."""

    @property
    def forecaster(self) -> GenerationForecaster:
        """Predicts when a new request would be answered."""

    @property
    def requests_together(self) -> int:
        """Number of requests that go through the decoder graph at once."""

    def submit_future(self, request: GenerationRequest) -> Future[Generation]:
        """Queue one request; cancelling the future frees its rows before the next step."""

    def observe(self, observer: SchedulerObserver | None) -> None:
        """Report to this observer from now on."""

    def close(self, drain_seconds: float | None = None) -> None:
        """Stop, after at most this time for the requests in progress."""


class GenerationRunner:
    """Submits sources to a scheduler with one set of options and constraints. Owns the scheduler.

    Attributes:
        expected_seconds: (source tokens, requests ahead that are not submitted yet) -> seconds, rarely exceeded, until
            a request that arrives now would be answered. The method of the scheduler's forecaster, with the options
            that all requests share.
        observe: the scheduler's method that attaches an observer; nothing is reported before.
        options: of every generation.
    """

    def __init__(self, scheduler: GenerationScheduler, model_version: str, constraints: DecodingConstraints) -> None:
        self._scheduler = scheduler
        self.expected_seconds: Callable[[float, int], float] = partial(
            scheduler.forecaster.expected_seconds, options=constraints.options
        )
        self.observe = scheduler.observe
        self.options = constraints.options
        self._processors = constraints.processors
        self._fixed = (model_version, constraints.version, constraints.options)

    @property
    def alive(self) -> bool:
        """Whether the loop of the scheduler runs."""
        return self._scheduler.alive

    @property
    def stalled_seconds(self) -> float:
        """Seconds since a busy engine last finished a step; 0 while it is idle."""
        return self._scheduler.stalled_seconds

    @property
    def waiting(self) -> int:
        """Requests that are not yet encoded."""
        return self._scheduler.waiting

    @property
    def active(self) -> int:
        """Requests that are being stepped."""
        return self._scheduler.active

    @property
    def requests_together(self) -> int:
        """Number of requests that go through the decoder graph at once, as measured when it was loaded."""
        return self._scheduler.requests_together

    def key(self, source_ids: Sequence[int]) -> Hashable:
        """Everything that a generation of these ids depends on."""
        return (*self._fixed, array("i", source_ids).tobytes())

    def start(
        self, source_ids: Sequence[int], deadline: float, *, record_search: bool = False
    ) -> asyncio.Future[Generation]:
        """Begin a generation that is cut at ``deadline`` (``time.perf_counter()`` seconds).

        Cancelling the future frees the rows of the request. With ``record_search`` it has every step of the search.

        Raises:
            GenerationError: here or by the future; see ``refusal``.
        """
        request = GenerationRequest(source_ids, self.options, deadline, self._processors, record_search)
        return asyncio.wrap_future(self._scheduler.submit_future(request))

    async def close(self) -> None:
        """Stop the scheduler without a wait. Requests in progress fail."""
        await asyncio.to_thread(self._scheduler.close, 0.0)


def refusal(error: GenerationError) -> GenerationFailed:
    """Log an error that the engine raised, and return the refusal for the caller."""
    if isinstance(error, SchedulerStopped):
        return EngineStopped("The engine of this instance has stopped; send the request to another one.")
    if isinstance(error, RequestFailed):
        logger.error("the engine failed on this request: %s", error)  # the engine has logged the traceback
    else:
        logger.error("the engine refused this request", exc_info=error)
    return GenerationFailed("The engine failed on this request; the service's log has the cause.")
