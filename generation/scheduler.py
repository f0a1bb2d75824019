"""In-flight batching for callers: one thread steps all requests together (`loop.py`).

submit() ─► inbox ─► the loop, in its thread ─► future
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from generation.backend import Backend
from generation.bundle import Bundle
from generation.forecaster import Forecaster
from generation.inbox import Backlog, Entry
from generation.loop import Loop
from generation.pace import Pace
from generation.request import GenerationRequest, check_request
from generation.results import Generation
from generation.scheduler_stats import SchedulerObserver, SchedulerStats, Watch
from generation.stepper import Stepper

logger = logging.getLogger(__name__)
ROW_BUDGET = 64  # beams of all requests that are stepped together
CLOSE_GRACE_SECONDS = 5.0  # after the drain time, for the step that is running


class Scheduler:
    """Answers many requests at once from one bundle, in a thread of its own. It must be closed.

    Attributes:
        bundle: the model.
        forecaster: predicts when a new request would be answered. Any thread may ask it.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        *,
        row_budget: int = ROW_BUDGET,
        clock: Callable[[], float] = time.perf_counter,
        backend: Backend = "auto",
        stepper: Stepper | None = None,
    ) -> None:
        """Start the thread; return when it has loaded the graphs and is warm.

        The thread gets the priority of the calling one.

        Args:
            bundle: the model.
            threads: intra-op threads of ONNX Runtime.
            row_budget: beams that are open at once, over all requests. Requests that do not fit wait. That of
                `stepper` where there is one.
            clock: returns the present instant in seconds; deadlines are instants of this clock.
            backend: what runs the graphs.
            stepper: graphs of this bundle that are loaded already, without requests; no other thread uses them. By
                default they are loaded here.

        Raises:
            BackendError: the backend cannot run this bundle on this machine.
            BundleError: a graph cannot be run.
            RequestFailed: the model's output is not a number.
        """
        if stepper is not None:
            row_budget = stepper.row_budget
        self.bundle = bundle
        self._clock = clock
        self._watch = Watch()
        self._pace = Pace(bundle.architecture.max_positions)
        self._backlog = Backlog()
        self.forecaster = Forecaster(self._pace, self._backlog, row_budget)
        built: Future[Loop] = Future()

        def load() -> Stepper:
            return stepper or Stepper(bundle, threads, row_budget, backend)

        self._thread = threading.Thread(target=self._run, args=(load, built), name="onebar-generation", daemon=True)
        self._thread.start()
        self._loop = built.result()

    async def submit(self, request: GenerationRequest) -> Generation:
        """Answer a request. Cancelling frees what it occupies before the next step.

        Raises:
            OptionsError: the model cannot be searched in this way.
            SourceError: the source is empty, too long, or has ids outside of the vocabulary.
            RequestFailed: this request failed; others are not affected.
            SchedulerStopped: the scheduler was closed, or its loop has died.
        """
        return await asyncio.wrap_future(self.submit_future(request))

    def generate(self, request: GenerationRequest) -> Generation:
        """Answer a request and block until then. Raises what `submit` raises."""
        return self.submit_future(request).result()

    def submit_future(self, request: GenerationRequest) -> Future[Generation]:
        """Queue a request. Cancelling the future frees what the request occupies before the next step.

        Raises:
            OptionsError: the model cannot be searched in this way.
            SourceError: the source is empty, too long, or has ids outside of the vocabulary.
            SchedulerStopped: the scheduler was closed, or its loop has died.
        """
        check_request(self.bundle, request)
        entry = Entry(request, Future(), self._clock())
        self._backlog.inbox.put(entry)
        return entry.future

    def observe(self, observer: SchedulerObserver | None) -> None:
        """Report to this observer from now on, in the loop's thread; to none with None, as at the start.

        It may be called while the loop runs. A request that is inside then is reported in part.
        """
        self._watch.observer = observer

    @property
    def requests_together(self) -> int:
        """Number of requests that go through the decoder graph at once, as measured at load."""
        return self._loop.stepper.together

    @property
    def alive(self) -> bool:
        """Whether requests are accepted and worked on. True while a step hangs: see `stalled_seconds`."""
        return self._thread.is_alive() and not self._backlog.inbox.closed

    @property
    def stalled_seconds(self) -> float:
        """Seconds since the loop last finished a turn (one encoder pass and one step at most); 0 while it has no work.

        Milliseconds while it works, and growing without limit while a step hangs. Reads one attribute, without a lock.
        """
        progressed_at = self._backlog.progressed_at
        return 0.0 if progressed_at is None else max(0.0, self._clock() - progressed_at)

    @property
    def waiting(self) -> int:
        """Number of requests that are not encoded yet."""
        return self._backlog.waiting_count

    @property
    def active(self) -> int:
        """Number of requests that are being stepped."""
        return len(self._backlog.active)

    def stats(self) -> SchedulerStats:
        """Return the counters as they are now."""
        rows = sum(entry.request.options.num_beams for entry in tuple(self._backlog.active))
        return self._watch.stats(self.active, self.waiting, rows)

    def close(self, drain_seconds: float | None = None) -> None:
        """Accept no more requests, finish those that are inside, and end the thread.

        Args:
            drain_seconds: time for the requests inside; those that are left then fail with SchedulerStopped. None for
                no limit. With a limit, a thread that hangs in a step is abandoned after CLOSE_GRACE_SECONDS more, and
                its futures are not resolved.
        """
        self._backlog.inbox.close(None if drain_seconds is None else self._clock() + drain_seconds)
        if threading.current_thread() is self._thread:
            return
        self._thread.join(None if drain_seconds is None else drain_seconds + CLOSE_GRACE_SECONDS)
        if self._thread.is_alive():
            logger.critical("the generation loop hangs in a step and is abandoned; end this process")

    def _run(self, load: Callable[[], Stepper], built: Future[Loop]) -> None:
        try:
            loop = Loop(load(), self._backlog, self._watch, self._pace, self._clock)
            loop.warm_up()
        except BaseException as error:
            self._backlog.inbox.close()
            built.set_exception(error)
            return
        built.set_result(loop)
        loop.run()
