"""The loop of in-flight batching: what is done when, and how each request ends.

    inbox ─► waiting, first come first ─► begin: encode, first step ─► active: step, step ... ─► future
                │ deadline comes,           at most one                  │ deadline comes,
                ▼ cancelled                 between two steps            ▼ cancelled, fails

Every future is resolved: by a result, by what made its request fail, by cancellation, or, when the loop ends for
whatever reason, by SchedulerStopped.
"""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable

from generation.engine import warm_up_sources
from generation.errors import RequestFailed, SchedulerStopped
from generation.inbox import Inbox, Request
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.results import Generation
from generation.scheduler_stats import Outcome, Watch
from generation.stepper import Stepper

logger = logging.getLogger(__name__)
WARM_UP_ROUNDS = 3


class Loop:
    """Moves all requests on, turn by turn. For one thread; `waiting`, `active` and `expected_seconds` are for any."""

    def __init__(self, stepper: Stepper, inbox: Inbox, watch: Watch, pace: Pace, clock: Callable[[], float]) -> None:
        """Begin with nothing to do.

        Args:
            stepper: runs the model.
            inbox: where requests come from.
            watch: told of what happens.
            pace: learns how long things take.
            clock: what deadlines are instants of, in seconds.
        """
        self.stepper = stepper
        self.waiting: deque[Request] = deque()
        self.active: list[Request] = []
        self._inbox = inbox
        self._watch = watch
        self._pace = pace
        self._clock = clock

    def expected_seconds(self, source_tokens: float, options: GenerationOptions, ahead: int) -> float:
        """Return in how many seconds a request would be answered that comes after `ahead` others; seldom exceeded.

        Everybody who is in or ahead has to be encoded, and then n of them share a step. Its own steps are counted in
        full: those behind it will be there by then.
        """
        pace, limit = self._pace, options.max_new_tokens
        active = tuple(self.active)
        waiting = len(self._inbox) + len(self.waiting) + ahead
        others = waiting + len(active)
        together = min(others + 1, max(1, self.stepper.row_budget // options.num_beams))
        own_steps = pace.steps_left(1, limit)  # the first is taken with the encoding
        others_steps = waiting * own_steps + sum(
            pace.steps_left(r.progress.search.steps, limit) for r in active if r.progress
        )
        steps = own_steps + others_steps / together
        searches = 1 + others / together**2  # that the number of steps depends on; of the others', a share each
        return (pace.encoding(source_tokens, waiting + 1) + pace.stepping(together, steps, searches)).cautious

    def warm_up(self) -> None:
        """Run the longest source and a short one a few times, which also tells how long things take."""
        options = self.stepper.bundle.generation
        for source in warm_up_sources(self.stepper.bundle) * WARM_UP_ROUNDS:
            before = self._clock()
            progress = self.stepper.begin(source, options)
            now = self._clock()
            self._pace.encoded(len(source), now - before)
            while not progress.over:
                before = now
                self.stepper.step()
                now = self._clock()
                self._pace.stepped(1, now - before)
            self.stepper.end(progress)

    def run(self) -> None:
        """Answer requests until the inbox is closed and all are answered."""
        try:
            while self.take_in():
                self.turn()
        except BaseException:
            logger.critical("the generation loop has died; restart this instance", exc_info=True)
        finally:
            self._stop()

    def take_in(self) -> bool:
        """Move what was submitted to the queue; wait for it where there is nothing else to do. False ends the loop."""
        inbox = self._inbox
        while True:
            idle = not self.active and not self.waiting
            if idle and inbox.closed and not len(inbox):
                return False
            if inbox.give_up_at is not None and self._clock() >= inbox.give_up_at:
                return False
            try:
                request = inbox.take(wait=idle)
            except queue.Empty:
                return True
            if request is not None:
                self.waiting.append(request)

    def turn(self) -> None:
        """Begin at most one request, then move all on by one step; answer whoever is done or out of time."""
        self._drop_cancelled()
        self._answer_late_waiters()
        if self.waiting and self._may_begin(self.waiting[0]):
            self._begin(self.waiting[0])
        self._answer_due(self._pace.stepping(len(self.active)).cautious)
        if self.active:
            self._step()

    def _drop_cancelled(self) -> None:
        for request in [request for request in self.active if request.future.cancelled()]:
            self._leave(request)
            self._drop(request)
        for request in [request for request in self.waiting if request.future.cancelled()]:
            self.waiting.remove(request)
            self._drop(request)

    def _answer_late_waiters(self) -> None:
        """Answer those who wait and would not be through with the encoder in time, wherever in the queue they stand."""
        now = self._clock()
        late = [
            request
            for request in self.waiting
            if request.deadline is not None
            and now + self._pace.encoding(len(request.source_ids)).cautious >= request.deadline
        ]
        for request in late:
            self.waiting.remove(request)
            nothing = Generation((), 0.0, 0, True, 0.0, 0.0, queue_seconds=now - request.submitted)
            self._resolve(request, nothing, "deadline")

    def _may_begin(self, request: Request) -> bool:
        """Whether there is room, and whether those who are on their way would still be through in time.

        Whoever would not be so, even if nobody joined, holds nobody up.
        """
        if not self.stepper.has_room(request.options):
            return False
        pace, now, count = self._pace, self._clock(), len(self.active)
        encoding = pace.encoding(len(request.source_ids))
        for other in self.active:
            if other.deadline is None or other.progress is None:
                continue
            steps = pace.steps_left(other.progress.search.steps, other.options.max_new_tokens)
            left = other.deadline - now
            if (encoding + pace.stepping(count + 1, steps, 1)).cautious > left >= pace.stepping(count, steps).mean:
                return False
        return True

    def _begin(self, request: Request) -> None:
        pace, length = self._pace, len(request.source_ids)
        # Who could not take another step after this encoding has nothing to wait for.
        self._answer_due((pace.encoding(length) + pace.stepping(len(self.active) + 1)).cautious)
        request.began = self._clock()
        self._watch.started(request.began - request.submitted)
        try:
            request.progress = self.stepper.begin(request.source_ids, request.options, request.processors)
        except Exception as error:
            self.waiting.popleft()
            self._fail(request, error)
            return
        request.encoded = self._clock()
        seconds = request.encoded - request.began
        pace.encoded(length, seconds)
        self._watch.encoded(length, seconds)
        self.active.append(request)
        self.waiting.popleft()  # not before: whoever guards the door counts those who wait and those who are active
        if request.progress.over:
            self._answer(request)

    def _answer_due(self, seconds: float) -> None:
        """Answer those whose deadline comes within the next `seconds`, which are about to be spent."""
        horizon = self._clock() + seconds
        for request in [r for r in self.active if r.deadline is not None and r.deadline <= horizon]:
            self._answer(request)

    def _step(self) -> None:
        before, count, rows = self._clock(), len(self.active), self.stepper.rows
        self.stepper.step()
        seconds = self._clock() - before
        self._pace.stepped(count, seconds)
        self._watch.stepped(count, rows, seconds)
        for request in [r for r in self.active if r.progress is not None and r.progress.over]:
            self._answer(request)

    def _answer(self, request: Request) -> None:
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

    def _leave(self, request: Request) -> None:
        assert request.progress is not None
        self.active.remove(request)
        self.stepper.end(request.progress)

    def _drop(self, request: Request) -> None:
        """Tell those who wait for a cancelled future that nothing will come."""
        request.future.set_running_or_notify_cancel()
        self._watch.ended("cancelled")

    def _resolve(self, request: Request, generation: Generation, outcome: Outcome) -> None:
        if request.future.set_running_or_notify_cancel():
            self._watch.ended(outcome)
            request.future.set_result(generation)
        else:
            self._watch.ended("cancelled")

    def _fail(self, request: Request, cause: BaseException) -> None:
        error = RequestFailed(f"generation failed for this request: {cause}")
        error.__cause__ = cause
        logger.error("a request failed and others did not", exc_info=cause)
        self._reject(request, error)

    def _reject(self, request: Request, error: Exception) -> None:
        if request.future.set_running_or_notify_cancel():
            self._watch.ended("failed")
            request.future.set_exception(error)
        else:
            self._watch.ended("cancelled")

    def _stop(self) -> None:
        """Fail everything that is left, and everything that comes in from now on."""
        left = [*self.active, *self.waiting, *self._inbox.take_rest()]
        self.active, self.waiting = [], deque()
        for request in left:
            self._reject(request, SchedulerStopped("the engine stopped before this request was answered"))
