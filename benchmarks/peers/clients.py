"""Clients that ask again as soon as they are answered (a closed loop), and what they saw."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Load:
    """One block of a closed loop, without the first answer of each client: those found the queue filling.

    latencies: seconds from asking to being answered.
    seconds: from the last of those first answers to the last answer.
    cores: CPU time of the whole process over the time of the block.
    """

    clients: int
    latencies: list[float]
    seconds: float
    cores: float

    @property
    def throughput(self) -> float:
        """Requests answered a second."""
        return len(self.latencies) / self.seconds


def ask_in_batches(
    answer: Callable[[Sequence[Any]], object],
    sources: Iterator[Any],
    clients: int,
    max_batch: int,
    seconds: float,
    clock: Clock = time.perf_counter,
) -> Load:
    """Serve `clients` with batches of whatever waits, first come first served, up to `max_batch`.

    Clients and server share one thread and hand over in no time: the best that a server around `answer` could do.
    """
    started, busy = clock(), time.process_time()
    waiting = deque((started, next(sources)) for _ in range(clients))
    completions: list[tuple[float, float]] = []  # (answered at, latency)
    now = started
    while now - started < seconds or len(completions) < 2 * clients:
        batch = [waiting.popleft() for _ in range(min(max_batch, len(waiting)))]
        answer([source for _, source in batch])
        now = clock()
        for asked, _ in batch:
            completions.append((now, now - asked))
            waiting.append((now, next(sources)))
    return _load(clients, completions, (time.process_time() - busy) / (now - started))


async def ask_concurrently(
    submit: Callable[[Any], Awaitable[object]], sources: Iterator[Any], clients: int, seconds: float
) -> Load:
    """Let `clients` coroutines ask a server that batches by itself."""
    started, busy = time.perf_counter(), time.process_time()
    completions: list[tuple[float, float]] = []
    over = False

    async def client() -> None:
        nonlocal over
        while not over:
            asked = time.perf_counter()
            await submit(next(sources))
            now = time.perf_counter()
            if not over:
                completions.append((now, now - asked))
                over = now - started >= seconds and len(completions) >= 2 * clients

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return _load(clients, completions, (time.process_time() - busy) / (time.perf_counter() - started))


def repeat(sources: Sequence[Any], start: int = 0) -> Iterator[Any]:
    """Return sources forever, from the one at `start`."""
    return itertools.islice(itertools.cycle(sources), start % len(sources), None)


def _load(clients: int, completions: list[tuple[float, float]], cores: float) -> Load:
    settled = completions[clients - 1][0]
    # A batch that straddles the mark ends at it: its answers belong to the beginning.
    counted = [(at, latency) for at, latency in completions[clients:] if at > settled]
    return Load(clients, [latency for _, latency in counted], completions[-1][0] - settled, cores)
