"""In-flight batching: one thread steps all requests together; new ones join between steps, finished ones leave at once.

    submit() ─► inbox ─► waiting, first come first ─► begin: encode, first step ─► lanes: step, step ... ─► future
                            │ deadline comes,           at most one                   │ deadline comes,
                            ▼ cancelled                 between two steps             ▼ cancelled, fails

Every future is resolved: by a result, by what made its request fail, by cancellation, or, when the loop ends for
whatever reason, by SchedulerStopped.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from generation.bundle import Bundle
from generation.engine import warm_up_sources
from generation.errors import RequestFailed, SchedulerStopped
from generation.logits_processors import LogitsProcessor
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.results import Generation
from generation.scheduler_stats import Outcome, SchedulerObserver, SchedulerStats, Watch
from generation.stepper import Progress, Stepper, check_options, check_source

logger = logging.getLogger(__name__)
WARM_UP_ROUNDS = 3


@dataclass(slots=True, eq=False)
class _Request:
    """A request from submission to answer. Instants are of the scheduler's clock."""

    source_ids: Sequence[int]
    options: GenerationOptions
    deadline: float | None
    processors: Sequence[LogitsProcessor]
    future: Future[Generation]
    submitted: float
    began: float = 0.0
    encoded: float = 0.0
    progress: Progress | None = None


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
    ) -> None:
        """Start the thread; return when it has loaded the graphs and is warm.

        The graphs are loaded in the thread that runs them: ORT sets how denormal numbers are treated for the thread
        that makes its first session.

        Args:
            bundle: what to answer from.
            threads: ORT's intra-op threads.
            row_budget: beams that are open at once, over all requests. More wait.
            observer: told of what happens, in the loop's thread.
            clock: what deadlines are instants of, in seconds.

        Raises:
            BundleError: ORT refuses a graph.
        """
        self.bundle = bundle
        self._threads = threads
        self._row_budget = row_budget
        self._clock = clock
        self._watch = Watch(observer)
        self._pace = Pace(bundle.architecture.max_positions)
        self._inbox: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._waiting: deque[_Request] = deque()
        self._active: list[_Request] = []
        self._lock = threading.Lock()  # between taking a request in and saying that none is taken in any more
        self._closing = False
        self._give_up_at: float | None = None
        built: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(built,), name="onebar-generation", daemon=True)
        self._thread.start()
        built.result()

    # What callers use, from any thread.

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
        request = _Request(source_ids, options, deadline, processors, Future(), self._clock())
        with self._lock:
            if self._closing:
                raise SchedulerStopped("the engine takes no more requests; send this one to another instance")
            self._inbox.put(request)
        return request.future

    def check_options(self, options: GenerationOptions) -> None:
        """Check options against the model. Raises OptionsError."""
        check_options(self.bundle, options)

    @property
    def alive(self) -> bool:
        """Whether requests are taken and worked on."""
        return self._thread.is_alive() and not self._closing

    @property
    def waiting(self) -> int:
        """Requests that nothing has been done for yet."""
        return self._inbox.qsize() + len(self._waiting)

    @property
    def active(self) -> int:
        """Requests that are being stepped."""
        return len(self._active)

    def expected_wait(self) -> float:
        """Return in how many seconds a request that is submitted now would be begun."""
        pace, waiting, active = self._pace, self.waiting, self.active
        together = max(1, self._row_budget // self.bundle.generation.num_beams)
        ahead = waiting + active
        turn = pace.step_seconds(min(ahead, together), cautious=False) if ahead else 0.0
        encode = pace.encode_seconds(self.bundle.render_budgets.max_source_tokens, cautious=False)
        # Each turn begins one request and moves all on. Past the row budget, others must first take all their steps.
        overflow = max(0, ahead + 1 - together)
        return waiting * (encode + turn) + overflow * pace.steps.mean * turn / together

    def expected_seconds(self, source_tokens: int, options: GenerationOptions | None = None) -> float:
        """Return in how many seconds a request that is submitted now would be answered.

        Every turn of the loop moves all requests on by one step; those that still wait take an encoding of a turn.
        """
        pace = self._pace
        together = max(1, self._row_budget // self.bundle.generation.num_beams)
        load = min(self.waiting + self.active + 1, together)
        limit = (options or self.bundle.generation).max_new_tokens
        steps = min(pace.steps.mean or float(limit), float(limit))
        own = pace.encode_seconds(source_tokens, cautious=False) + steps * pace.step_seconds(load, cautious=False)
        return self.expected_wait() + own

    def stats(self) -> SchedulerStats:
        """Return the counters as they stand."""
        return self._watch.stats(self.active, self.waiting, sum(r.options.num_beams for r in tuple(self._active)))

    def close(self, drain_seconds: float | None = None) -> None:
        """Take no more requests, finish those that are in, and end the thread.

        Args:
            drain_seconds: how long they have; what is left then fails with SchedulerStopped. None for no limit.
        """
        with self._lock:
            if drain_seconds is not None:
                self._give_up_at = self._clock() + drain_seconds
            self._closing = True
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # The loop, in its thread.

    def _run(self, built: Future[None]) -> None:
        try:
            self._stepper = Stepper(self.bundle, self._threads, self._row_budget)
            self._warm_up()
        except BaseException as error:
            self._closing = True
            built.set_exception(error)
            return
        built.set_result(None)
        try:
            while self._take_in():
                self._turn()
        except BaseException:
            logger.critical("the generation loop has died; restart this instance", exc_info=True)
        finally:
            self._stop()

    def _turn(self) -> None:
        """Begin at most one request, then move all on by one step; answer whoever is done or out of time."""
        self._drop_cancelled()
        self._answer_late_waiters()
        if self._waiting and self._stepper.has_room(self._waiting[0].options):
            self._begin(self._waiting.popleft())
        self._answer_due(self._pace.step_seconds(len(self._active)))
        if self._active:
            self._step()

    def _take_in(self) -> bool:
        """Move what was submitted to the queue; wait for it where there is nothing else to do. False ends the loop."""
        while True:
            idle = not self._active and not self._waiting
            if idle and self._closing and self._inbox.empty():
                return False
            if self._give_up_at is not None and self._clock() >= self._give_up_at:
                return False
            try:
                request = self._inbox.get(block=idle)
            except queue.Empty:
                return True
            if request is not None:
                self._waiting.append(request)

    def _drop_cancelled(self) -> None:
        for request in [request for request in self._active if request.future.cancelled()]:
            self._leave(request)
            self._drop(request)
        for request in [request for request in self._waiting if request.future.cancelled()]:
            self._waiting.remove(request)
            self._drop(request)

    def _drop(self, request: _Request) -> None:
        """Tell those who wait for a cancelled future that nothing will come."""
        request.future.set_running_or_notify_cancel()
        self._watch.ended("cancelled")

    def _answer_late_waiters(self) -> None:
        """Answer those who wait and would not be through with the encoder in time, wherever in the queue they stand."""
        now = self._clock()
        late = [
            request
            for request in self._waiting
            if request.deadline is not None
            and now + self._pace.encode_seconds(len(request.source_ids)) >= request.deadline
        ]
        for request in late:
            self._waiting.remove(request)
            nothing = Generation((), 0.0, 0, True, 0.0, 0.0, queue_seconds=now - request.submitted)
            self._resolve(request, nothing, "deadline")

    def _begin(self, request: _Request) -> None:
        pace, length = self._pace, len(request.source_ids)
        # Who could not take another step after this encoding has nothing to wait for.
        self._answer_due(pace.encode_seconds(length) + pace.step_seconds(len(self._active) + 1))
        request.began = self._clock()
        self._watch.started(request.began - request.submitted)
        try:
            request.progress = self._stepper.begin(request.source_ids, request.options, request.processors)
        except Exception as error:
            self._fail(request, error)
            return
        request.encoded = self._clock()
        seconds = request.encoded - request.began
        pace.encoded(length, seconds)
        self._watch.encoded(length, seconds)
        self._active.append(request)
        if request.progress.over:
            self._answer(request)

    def _answer_due(self, seconds: float) -> None:
        """Answer those whose deadline comes within the next `seconds`, which are about to be spent."""
        horizon = self._clock() + seconds
        for request in [r for r in self._active if r.deadline is not None and r.deadline <= horizon]:
            self._answer(request)

    def _step(self) -> None:
        before, count, rows = self._clock(), len(self._active), self._stepper.rows
        self._stepper.step()
        seconds = self._clock() - before
        self._pace.stepped(count, seconds)
        self._watch.stepped(count, rows, seconds)
        for request in [r for r in self._active if r.progress is not None and r.progress.over]:
            self._answer(request)

    def _answer(self, request: _Request) -> None:
        """Take a request out of its lane and resolve it with what it has."""
        progress = request.progress
        assert progress is not None
        self._leave(request)
        if progress.error is not None:
            self._fail(request, progress.error)
            return
        search = progress.search
        if search.done:
            self._pace.ended(search.steps)
        now = self._clock()
        generation = Generation(
            hypotheses=search.hypotheses() if search.done else search.forced(),
            reject_probability=progress.reject_probability,
            steps=search.steps,
            deadline_reached=not search.done,
            encode_seconds=request.encoded - request.began,
            decode_seconds=now - request.encoded,
            queue_seconds=request.began - request.submitted,
        )
        self._resolve(request, generation, "finished" if search.done else "deadline")

    def _leave(self, request: _Request) -> None:
        assert request.progress is not None
        self._active.remove(request)
        self._stepper.end(request.progress)

    def _resolve(self, request: _Request, generation: Generation, outcome: Outcome) -> None:
        if request.future.set_running_or_notify_cancel():
            self._watch.ended(outcome)
            request.future.set_result(generation)
        else:
            self._watch.ended("cancelled")

    def _fail(self, request: _Request, cause: BaseException) -> None:
        error = RequestFailed(f"generation failed for this request: {cause}")
        error.__cause__ = cause
        logger.error("a request failed and others did not", exc_info=cause)
        self._reject(request, error)

    def _reject(self, request: _Request, error: Exception) -> None:
        if request.future.set_running_or_notify_cancel():
            self._watch.ended("failed")
            request.future.set_exception(error)
        else:
            self._watch.ended("cancelled")

    def _stop(self) -> None:
        """Fail everything that is left, and everything that comes in from now on."""
        with self._lock:
            self._closing = True
        left = [*self._active, *self._waiting]
        while not self._inbox.empty():
            request = self._inbox.get()
            if request is not None:
                left.append(request)
        self._active, self._waiting = [], deque()
        for request in left:
            self._reject(request, SchedulerStopped("the engine stopped before this request was answered"))

    def _warm_up(self) -> None:
        """Run the longest source and a short one a few times, which also tells how long things take."""
        options = self.bundle.generation
        for source in warm_up_sources(self.bundle) * WARM_UP_ROUNDS:
            before = self._clock()
            progress = self._stepper.begin(source, options)
            now = self._clock()
            self._pace.encoded(len(source), now - before)
            while not progress.over:
                before = now
                self._stepper.step()
                now = self._clock()
                self._pace.stepped(1, now - before)
            self._stepper.end(progress)
