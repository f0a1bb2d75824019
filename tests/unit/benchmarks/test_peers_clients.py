"""Clients that ask again as soon as they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.peers.clients import ask_concurrently, ask_in_batches, repeat


class Server:
    """Takes 1 second for a batch and half a second for each of its requests, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.batches: list[list[int]] = []

    def answer(self, batch: Sequence[int]) -> None:
        self.batches.append(list(batch))
        self.now += 1.0 + 0.5 * len(batch)

    def clock(self) -> float:
        return self.now


def test_one_client_waits_for_its_own_request_only() -> None:
    server = Server()
    load = ask_in_batches(server.answer, repeat([7, 8, 9]), 1, 16, 6.0, server.clock)
    assert server.batches == [[7], [8], [9], [7]]
    assert load.latencies == [1.5, 1.5, 1.5]
    assert load.throughput == pytest.approx(1 / 1.5)


def test_a_batch_takes_what_waits_and_no_more_than_its_limit() -> None:
    server = Server()
    load = ask_in_batches(server.answer, repeat(range(100)), 4, 3, 20.0, server.clock)
    assert [len(batch) for batch in server.batches[:3]] == [3, 3, 3]
    # First come, first served: the fourth client's request goes before the second ones of the others.
    assert server.batches[1] == [3, 4, 5]
    # Each of four clients waits for its own batch of three, and now and then for one before it.
    assert set(load.latencies) == {2.5, 5.0}
    assert load.throughput == pytest.approx(3 / 2.5)


def test_the_first_answer_of_each_client_is_not_counted() -> None:
    server = Server()
    load = ask_in_batches(server.answer, repeat([0]), 2, 2, 4.0, server.clock)
    assert [len(batch) for batch in server.batches] == [2, 2]
    assert len(load.latencies) == 2
    assert load.seconds == 2.0


def test_a_short_block_still_answers_every_client_twice() -> None:
    server = Server()
    load = ask_in_batches(server.answer, repeat([0]), 5, 1, 0.0, server.clock)
    assert len(server.batches) == 10
    assert len(load.latencies) == 5


async def test_concurrent_clients_have_one_request_each_inside() -> None:
    inside = most = 0
    asked = []

    async def submit(source: int) -> None:
        nonlocal inside, most
        asked.append(source)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1

    load = await ask_concurrently(submit, repeat([1, 2, 3]), 4, 0.0)
    assert most == 4
    assert asked[:5] == [1, 2, 3, 1, 2]
    assert len(load.latencies) == 4
    assert load.throughput > 0


async def test_a_failed_request_ends_the_measurement() -> None:
    async def submit(source: int) -> None:
        raise RuntimeError("no")

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await ask_concurrently(submit, repeat([1]), 4, 0.0)


def test_sources_are_repeated_from_any_start() -> None:
    sources = repeat([1, 2, 3], 4)
    assert [next(sources) for _ in range(5)] == [2, 3, 1, 2, 3]
