"""The requests inside a scheduler: where callers leave them, and where they are until they are answered."""

from __future__ import annotations

import queue
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from generation.errors import SchedulerStopped
from generation.progress import Progress
from generation.request import GenerationRequest
from generation.results import Generation


@dataclass(slots=True, eq=False)
class Entry:
    """A request from its submission to its answer. Instants are seconds of the scheduler's clock.

    Attributes:
        request: what is asked for.
        future: gets the answer. Cancelling it frees what the request occupies.
        submitted: instant of the submission.
        began: instant at which the encoder pass began; set by the loop.
        encoded: instant at which the first decoder step had ended; set by the loop.
        progress: the request in its lane; set by the loop.
    """

    request: GenerationRequest
    future: Future[Generation]
    submitted: float
    began: float = 0.0
    encoded: float = 0.0
    progress: Progress | None = None


class Inbox:
    """A queue that can be closed. After `take_rest` it is empty and stays empty.

    Attributes:
        closed: no more entries are accepted.
        give_up_at: instant at which the loop must stop even if entries are left; None for no limit.
    """

    def __init__(self) -> None:
        """Open the inbox."""
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # `put` must not check `closed` before `close` and add its entry after it
        self.closed = False
        self.give_up_at: float | None = None

    def __len__(self) -> int:
        """Return the number of entries (and of wake-ups) that the loop has not taken yet."""
        return self._queue.qsize()

    def put(self, entry: Entry) -> None:
        """Add an entry.

        Raises:
            SchedulerStopped: the inbox is closed.
        """
        with self._lock:
            if self.closed:
                raise SchedulerStopped("the engine takes no more requests; send this one to another instance")
            self._queue.put(entry)

    def close(self, give_up_at: float | None = None) -> None:
        """Accept no more entries, and wake the loop so that it finishes what is inside.

        Args:
            give_up_at: instant at which the loop stops even if entries are left.
        """
        with self._lock:
            if give_up_at is not None:
                self.give_up_at = give_up_at
            self.closed = True
        self._queue.put(None)

    def take(self, *, wait: bool) -> Entry | None:
        """Take the next entry out; None for a wake-up.

        Raises:
            queue.Empty: there is no entry, and `wait` is false.
        """
        return self._queue.get(block=wait)

    def take_rest(self) -> list[Entry]:
        """Close the inbox and take out all entries that are left."""
        with self._lock:
            self.closed = True
        left = []
        while len(self):
            entry = self._queue.get()
            if entry is not None:
                left.append(entry)
        return left


@dataclass(slots=True, eq=False)
class Backlog:
    """All requests inside a scheduler, and the heartbeat of its loop.

    Only the loop's thread changes `waiting`, `active` and `progressed_at`. Any thread may read them without a lock: the
    containers are never replaced, and reading a length, a copy or the instant is atomic.

    Attributes:
        inbox: entries that the loop has not taken yet.
        waiting: entries that are not encoded yet, first come first.
        active: entries that are being stepped.
        progressed_at: instant at which the loop last finished a turn; None while it has no work.
    """

    inbox: Inbox = field(default_factory=Inbox)
    waiting: deque[Entry] = field(default_factory=deque)
    active: list[Entry] = field(default_factory=list)
    progressed_at: float | None = None

    @property
    def waiting_count(self) -> int:
        """Number of requests that nothing has been done for yet."""
        return len(self.inbox) + len(self.waiting)
