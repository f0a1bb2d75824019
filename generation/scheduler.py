"""In-flight batching, as callers see it: one thread steps all requests together (`loop.py`).

submit() ─► inbox ─► the loop, in its thread ─► future
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from generation.backend import Backend
from generation.bundle import Bundle
from generation.inbox import Inbox, Request
from generation.logits_processors import LogitsProcessor
from generation.loop import Loop
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.results import Generation
from generation.scheduler_stats import SchedulerObserver, SchedulerStats, Watch
from generation.stepper import Stepper, check_options, check_source


class Scheduler:
    """Answers many requests at once from one bundle, in a thread of its own. To be closed."""

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        *,
        row_budget: int = 64,
        observer: SchedulerObserver | None = None,
        clock: Callable[[], float] = time.perf_counter,
        backend: Backend = "auto",
    ) -> None:
        """Start the thread; return when it has loaded the graphs and is warm.

        Args:
            bundle: what to answer from.
            threads: ORT's intra-op threads.
            row_budget: beams that are open at once, over all requests. More wait.
            observer: told of what happens, in the loop's thread.
            clock: what deadlines are instants of, in seconds.
            backend: what runs the graphs.

        Raises:
            BackendError: it cannot be had here.
            BundleError: a graph cannot be run.
        """
        self.bundle = bundle
        self._threads = threads
        self._row_budget = row_budget
        self._backend: Backend = backend
        self._clock = clock
        self._watch = Watch(observer)
        self._pace = Pace(bundle.architecture.max_positions)
        self._inbox = Inbox()
        built: Future[Loop] = Future()
        self._thread = threading.Thread(target=self._run, args=(built,), name="onebar-generation", daemon=True)
        self._thread.start()
        self._loop = built.result()

    async def submit(
        self,
        source_ids: Sequence[int],
        options: GenerationOptions | None = None,
        deadline: float | None = None,
        processors: Sequence[LogitsProcessor] = (),
    ) -> Generation:
        """Answer a request. Cancelling frees what it occupies before the next step.

        Args:
            source_ids: rendered source, <s> ... </s>.
            options: None for the bundle's own.
            deadline: instant of the clock by which to answer with what there is.
            processors: constraints besides those of the options.

        Raises:
            OptionsError: the model cannot be searched in this way.
            SourceError: the source is empty, too long, or has ids that the model does not know.
            RequestFailed: this request failed; others were not touched.
            SchedulerStopped: it was closed, or its loop has died.
        """
        return await asyncio.wrap_future(self.submit_future(source_ids, options, deadline, processors))

    def generate(
        self,
        source_ids: Sequence[int],
        options: GenerationOptions | None = None,
        deadline: float | None = None,
        processors: Sequence[LogitsProcessor] = (),
    ) -> Generation:
        """Answer a request, as `submit` does, and block until then."""
        return self.submit_future(source_ids, options, deadline, processors).result()

    def submit_future(
        self,
        source_ids: Sequence[int],
        options: GenerationOptions | None = None,
        deadline: float | None = None,
        processors: Sequence[LogitsProcessor] = (),
    ) -> Future[Generation]:
        """Queue a request, as `submit` does; cancelling the future frees what the request occupies."""
        options = options or self.bundle.generation
        check_options(self.bundle, options)
        check_source(self.bundle, source_ids)
        request = Request(source_ids, options, deadline, processors, Future(), self._clock())
        self._inbox.put(request)
        return request.future

    def check_options(self, options: GenerationOptions) -> None:
        """Check options against the model. Raises OptionsError."""
        check_options(self.bundle, options)

    @property
    def stalled_seconds(self) -> float:
        """Stub, replaced by the merge of the scheduler branch."""
        return 0.0

    @property
    def alive(self) -> bool:
        """Whether requests are taken and worked on."""
        return self._thread.is_alive() and not self._inbox.closed

    @property
    def waiting(self) -> int:
        """Requests that nothing has been done for yet."""
        return len(self._inbox) + len(self._loop.waiting)

    @property
    def active(self) -> int:
        """Requests that are being stepped."""
        return len(self._loop.active)

    def expected_seconds(self, source_tokens: float, options: GenerationOptions | None = None, ahead: int = 0) -> float:
        """Return in how many seconds a request that is submitted now would be answered; seldom exceeded.

        Args:
            source_tokens: of its source.
            options: None for the bundle's own.
            ahead: how many will be submitted before it, besides those that have been.
        """
        return self._loop.expected_seconds(source_tokens, options or self.bundle.generation, ahead)

    def stats(self) -> SchedulerStats:
        """Return the counters as they stand."""
        return self._watch.stats(self.active, self.waiting, sum(r.options.num_beams for r in tuple(self._loop.active)))

    def close(self, drain_seconds: float | None = None) -> None:
        """Take no more requests, finish those that are in, and end the thread.

        Args:
            drain_seconds: how long they have; what is left then fails with SchedulerStopped. None for no limit.
        """
        self._inbox.close(None if drain_seconds is None else self._clock() + drain_seconds)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self, built: Future[Loop]) -> None:
        try:
            stepper = Stepper(self.bundle, self._threads, self._row_budget, self._backend)
            loop = Loop(stepper, self._inbox, self._watch, self._pace, self._clock)
            loop.warm_up()
        except BaseException as error:
            self._inbox.close()
            built.set_exception(error)
            return
        built.set_result(loop)
        loop.run()
