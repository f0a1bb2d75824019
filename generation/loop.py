"""The loop of in-flight batching: the order of work, and how each request ends.

    inbox ─► waiting, first come first ─► begin: encode, first step ─► active: step, step ... ─► future
                │ deadline,                at most one                   │ deadline,
                ▼ cancelled                between two steps             ▼ cancelled, failed

Every future is resolved: with a result, with the error of its request, by cancellation, or, when the loop ends for any
reason, with SchedulerStopped. docs/adr/0022 explains the order.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable

from generation.engine import generate_alone, warm_up_requests
from generation.errors import RequestFailed, SchedulerStopped
from generation.inbox import Backlog, Entry
from generation.pace import Pace
from generation.request import GenerationRequest
from generation.results import Generation
from generation.scheduler_stats import Outcome, Watch
from generation.stepper import Stepper

logger = logging.getLogger(__name__)
WARM_UP_ROUNDS = 3


class Loop:
    """Moves all requests on, turn by turn, in one thread."""

    def __init__(
        self, stepper: Stepper, backlog: Backlog, watch: Watch, pace: Pace, clock: Callable[[], float]
    ) -> None:
        """Connect the parts.

        Args:
            stepper: runs the model.
            backlog: the requests inside.
            watch: counts what happens.
            pace: predicts how long encoder passes and steps take, and learns from them.
            clock: returns the present instant in seconds; deadlines are instants of this clock.
        """
        self.stepper = stepper
        self._inbox = backlog.inbox
        self._backlog = backlog
        self._waiting = backlog.waiting
        self._active = backlog.active
        self._watch = watch
        self._pace = pace
        self._clock = clock

    def warm_up(self) -> None:
        """Run the longest source and a short one a few times, which also gives the pace its first measurements.

        At last two requests are stepped together: without a measurement, the pace assumes that a step of two takes
        twice as long as one, and a second request may be refused that could be answered in time.

        Raises:
            RequestFailed: the model's output is not a number.
        """
        requests = warm_up_requests(self.stepper.bundle)
        for request in requests * WARM_UP_ROUNDS:
            generate_alone(self.stepper, self._pace, self._clock, request)
        self._warm_up_together(requests[0])

    def _warm_up_together(self, request: GenerationRequest) -> None:
        together = [self.stepper.begin(request)]
        if self.stepper.has_room(request.options):
            together.append(self.stepper.begin(request))
        while len(together) > 1 and not any(progress.over for progress in together):
            before = self._clock()
            self.stepper.step()
            self._pace.stepped(len(together), self._clock() - before)
        for progress in together:
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
        """Move all entries from the inbox to `waiting`, and wait for one if there is no other work.

        Returns:
            False if the loop must end.
        """
        inbox = self._inbox
        while True:
            idle = not self._active and not self._waiting
            if idle and inbox.closed and not len(inbox):
                return False
            if inbox.give_up_at is not None and self._clock() >= inbox.give_up_at:
                return False
            if idle:
                self._backlog.progressed_at = None
            try:
                entry = inbox.take(wait=idle)
            except queue.Empty:
                return True
            if idle:
                self._backlog.progressed_at = self._clock()
            if entry is not None:
                self._waiting.append(entry)

    def turn(self) -> None:
        """Begin at most one request, then step all active ones; answer those that are done or out of time."""
        self._drop_cancelled()
        self._answer_late_waiting()
        if self._waiting and self._may_begin(self._waiting[0]):
            self._begin(self._waiting[0])
        cut_short = self._answer_due(self._pace.stepping(len(self._active)).cautious)
        if self._active:
            self._step()
        elif cut_short:
            now = self._clock()
            self._pace.step_ruled_out(max(entry.request.seconds_left(now) for entry in cut_short))
        self._backlog.progressed_at = self._clock()

    def _drop_cancelled(self) -> None:
        for entry in [entry for entry in self._active if entry.future.cancelled()]:
            self._leave(entry)
            self._drop(entry)
        for entry in [entry for entry in self._waiting if entry.future.cancelled()]:
            self._waiting.remove(entry)
            self._drop(entry)

    def _answer_late_waiting(self) -> None:
        """Answer waiting requests, wherever they are in the queue, that could not be encoded before their deadline."""
        now = self._clock()
        late = [
            entry
            for entry in self._waiting
            if entry.request.is_due(now + self._pace.encoding(len(entry.request.source_ids)).cautious)
        ]
        if late and not self._active:
            request = max((entry.request for entry in late), key=lambda request: request.seconds_left(now))
            self._pace.encoding_ruled_out(len(request.source_ids), request.seconds_left(now))
        for entry in late:
            self._waiting.remove(entry)
            self._resolve(entry, Generation.not_begun(now - entry.submitted), "deadline")

    def _may_begin(self, entry: Entry) -> bool:
        """Whether there is room, and whether the active requests would still meet their deadlines.

        An active request that would miss its deadline anyway is ignored.
        """
        if not self.stepper.has_room(entry.request.options):
            return False
        pace, now, count = self._pace, self._clock(), len(self._active)
        encoding = pace.encoding(len(entry.request.source_ids))
        for other in self._active:
            if other.request.deadline is None or other.progress is None:
                continue
            steps = pace.steps_left(other.progress.search.steps, other.request.options.max_new_tokens)
            left = other.request.seconds_left(now)
            if (encoding + pace.stepping(count + 1, steps, 1)).cautious > left >= pace.stepping(count, steps).mean:
                return False
        return True

    def _begin(self, entry: Entry) -> None:
        pace, request = self._pace, entry.request
        source_tokens = len(request.source_ids)
        # A request that could not take another step after this encoding is answered now rather than later.
        self._answer_due((pace.encoding(source_tokens) + pace.stepping(len(self._active) + 1)).cautious)
        entry.began = self._clock()
        self._watch.started(entry.began - entry.submitted)
        try:
            entry.progress = self.stepper.begin(request)
        except Exception as error:
            self._waiting.popleft()
            self._fail(entry, error)
            return
        entry.encoded = self._clock()
        seconds = entry.encoded - entry.began
        pace.encoded(source_tokens, seconds)
        self._watch.encoded(source_tokens, seconds)
        # In this order, so that admission, which reads both lengths from another thread, never misses the request.
        self._active.append(entry)
        self._waiting.popleft()
        if entry.progress.over:
            self._answer(entry)

    def _answer_due(self, seconds: float) -> list[Entry]:
        """Answer active requests whose deadline comes within the next `seconds`, which are about to be spent.

        Returns:
            The requests that were answered.
        """
        horizon = self._clock() + seconds
        due = [entry for entry in self._active if entry.request.is_due(horizon)]
        for entry in due:
            self._answer(entry)
        return due

    def _step(self) -> None:
        before, count, rows = self._clock(), len(self._active), self.stepper.rows
        self.stepper.step()
        seconds = self._clock() - before
        self._pace.stepped(count, seconds)
        self._watch.stepped(count, rows, seconds)
        for entry in [entry for entry in self._active if entry.progress is not None and entry.progress.over]:
            self._answer(entry)

    def _answer(self, entry: Entry) -> None:
        """Take an active request out of its lane and resolve it with what it has."""
        progress = entry.progress
        assert progress is not None
        self._leave(entry)
        if progress.error is not None:
            self._fail(entry, progress.error)
            return
        if progress.search.done:
            self._pace.ended(progress.search.steps)
        generation = progress.generation(
            submitted=entry.submitted, began=entry.began, encoded=entry.encoded, ended=self._clock()
        )
        self._resolve(entry, generation, "deadline" if generation.deadline_reached else "finished")

    def _leave(self, entry: Entry) -> None:
        assert entry.progress is not None
        self._active.remove(entry)
        self.stepper.end(entry.progress)

    def _drop(self, entry: Entry) -> None:
        """Notify those who wait for a cancelled future."""
        entry.future.set_running_or_notify_cancel()
        self._watch.ended("cancelled")

    def _resolve(self, entry: Entry, generation: Generation, outcome: Outcome) -> None:
        if entry.future.set_running_or_notify_cancel():
            self._watch.ended(outcome)
            entry.future.set_result(generation)
        else:
            self._watch.ended("cancelled")

    def _fail(self, entry: Entry, cause: BaseException) -> None:
        error = RequestFailed(f"generation failed for this request: {cause}")
        error.__cause__ = cause
        logger.error("a request failed and others did not", exc_info=cause)
        self._reject(entry, error)

    def _reject(self, entry: Entry, error: Exception) -> None:
        if entry.future.set_running_or_notify_cancel():
            self._watch.ended("failed")
            entry.future.set_exception(error)
        else:
            self._watch.ended("cancelled")

    def _stop(self) -> None:
        """Fail all requests that are left, and all that come from now on."""
        left = [*self._active, *self._waiting, *self._inbox.take_rest()]
        self._active.clear()
        self._waiting.clear()
        self._backlog.progressed_at = None
        for entry in left:
            self._reject(entry, SchedulerStopped("the engine stopped before this request was answered"))
