"""Where callers leave requests and the loop takes them from."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from generation.errors import SchedulerStopped
from generation.logits_processors import LogitsProcessor
from generation.options import GenerationOptions
from generation.results import Generation
from generation.stepper import Progress


@dataclass(slots=True, eq=False)
class Request:
    """A request from submission to answer. Instants are of the scheduler's clock.

    began, encoded, progress: set by the loop.
    """

    source_ids: Sequence[int]
    options: GenerationOptions
    deadline: float | None
    processors: Sequence[LogitsProcessor]
    future: Future[Generation]
    submitted: float
    began: float = 0.0
    encoded: float = 0.0
    progress: Progress | None = None


class Inbox:
    """A queue that can be closed: once it is, nothing is left in it that nobody would answer."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # between taking a request in and saying that none is taken in any more
        self.closed = False
        self.give_up_at: float | None = None

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, request: Request) -> None:
        """Leave a request.

        Raises:
            SchedulerStopped: it was closed.
        """
        with self._lock:
            if self.closed:
                raise SchedulerStopped("the engine takes no more requests; send this one to another instance")
            self._queue.put(request)

    def close(self, give_up_at: float | None = None) -> None:
        """Take nothing more, and wake the loop, which is to finish what is in, but not after `give_up_at`."""
        with self._lock:
            if give_up_at is not None:
                self.give_up_at = give_up_at
            self.closed = True
        self._queue.put(None)

    def take(self, *, wait: bool) -> Request | None:
        """Take the next request out; None where the inbox was only woken.

        Raises:
            queue.Empty: there is none, and it was not to be waited for.
        """
        return self._queue.get(block=wait)

    def take_rest(self) -> list[Request]:
        """Close for good and take out everything that is left."""
        with self._lock:
            self.closed = True
        left = []
        while len(self):
            request = self._queue.get()
            if request is not None:
                left.append(request)
        return left
