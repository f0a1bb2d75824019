"""The one thread in which the engine works, behind an interface that another scheduler can take over.

Every future that ``submit`` hands out is resolved: by its result, by the engine's error, by cancellation, or, when the
thread ends for whatever reason, by ``WorkerDied``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from generation.engine import Generation
from generation.options import GenerationOptions
from service.errors import GenerationFailed, WorkerDied

logger = logging.getLogger(__name__)


class GenerationEngine(Protocol):
    """What the thread needs of ``generation.engine.Engine``; both methods are called from that thread alone."""

    def warm_up(self) -> Any:
        """Make the first request as fast as the others."""

    def generate(
        self, source_ids: Sequence[int], options: GenerationOptions, deadline: float | None = None
    ) -> Generation:
        """Search for the best hypotheses, until the deadline (``time.perf_counter()`` seconds)."""


class GenerationRunner(Protocol):
    """What the pipeline needs: requests go in, generations come out, in whatever way they are scheduled."""

    @property
    def alive(self) -> bool:
        """Whether requests are being worked on."""

    @property
    def waiting(self) -> int:
        """Requests that have not been started."""

    async def start(self) -> None:
        """Warm up, and take requests from then on."""

    def submit(self, source_ids: Sequence[int], options: GenerationOptions, deadline: float) -> Awaitable[Generation]:
        """Queue one request; cancelling what it returns takes an unstarted one out again.

        Raises (when awaited):
            GenerationFailed: the engine raised.
            WorkerDied: nobody is working on requests any more.
        """

    async def close(self) -> None:
        """Stop; what is still queued fails."""


@dataclass(frozen=True, slots=True)
class _Job:
    future: asyncio.Future[Any]
    work: Callable[[], Any]


class WorkerThread:
    """Runs an engine in one thread, one request at a time, first come first served.

    The engine is built in that thread, too: ONNX Runtime sets the floating-point mode (denormals are zero) of the
    thread that makes its first session, which must be the one that computes, and no other.
    """

    def __init__(self, build_engine: Callable[[], GenerationEngine]) -> None:
        """Start the thread and wait until it has built the engine. Raises what ``build_engine`` raises."""
        self._build_engine = build_engine
        self._built: Future[GenerationEngine] = Future()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="onebar-generation", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False
        self._thread.start()
        self._engine = self._built.result()

    @property
    def alive(self) -> bool:
        """Whether the thread is running and has not ended."""
        return self._thread.is_alive() and not self._ended

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._jobs.qsize()

    async def start(self) -> None:
        """Warm the engine up. Raises GenerationFailed."""
        self._loop = asyncio.get_running_loop()
        await self._enqueue(self._engine.warm_up)

    def submit(
        self, source_ids: Sequence[int], options: GenerationOptions, deadline: float
    ) -> asyncio.Future[Generation]:
        """Queue one request. Must be called from the event loop that called ``start``."""
        return self._enqueue(lambda: self._engine.generate(source_ids, options, deadline))

    async def close(self) -> None:
        """End the thread after the request that it is working on; queued ones fail with ``WorkerDied``."""
        self._ended = True
        self._jobs.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _enqueue(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        assert self._loop is not None, "start() comes first"
        job = _Job(self._loop.create_future(), work)
        self._jobs.put(job)
        # The thread empties the queue when it ends; a job that came in after that is failed here.
        if not self.alive:
            self._fail_queued()
        return job.future

    def _run(self) -> None:
        try:
            self._built.set_result(self._build_engine())
        except BaseException as error:
            self._ended = True
            self._built.set_exception(error)
            return
        try:
            while not self._ended and (job := self._jobs.get()) is not None:
                if not job.future.cancelled():
                    self._work(job)
        except BaseException:
            logger.critical("the engine's thread has died; restart this instance", exc_info=True)
        finally:
            self._ended = True
            self._fail_queued()

    def _work(self, job: _Job) -> None:
        try:
            result = job.work()
        except Exception as error:
            logger.exception("generation failed")
            failure = GenerationFailed("The engine failed on this request; the service's log says how.")
            failure.__cause__ = error
            self._resolve(job, error=failure)
        except BaseException:
            self._resolve(job, error=_died())
            raise
        else:
            self._resolve(job, result=result)

    def _fail_queued(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    self._resolve(job, error=_died())

    def _resolve(self, job: _Job, result: Any = None, error: Exception | None = None) -> None:
        def settle() -> None:
            if job.future.done():  # its caller has left
                return
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)

        assert self._loop is not None
        # A closed loop has no callers left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle)


def _died() -> WorkerDied:
    return WorkerDied("The engine of this instance has stopped; send the request to another one.")
