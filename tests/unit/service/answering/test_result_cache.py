"""The cache of generations, and requests that share one in progress."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from generation.engine import Generation, Hypothesis
from generation.errors import RequestFailed
from service.answering.result_cache import ResultCache
from tests.fixtures.serving import generation, until

ANSWER = generation([7])
FAR = 1000.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A cache in front of generations that the test ends."""

    def __init__(self, max_bytes: int = 100_000, ttl_seconds: float = 60.0) -> None:
        self.clock = Clock()
        self.lookups: Counter[str] = Counter()
        self.started: list[asyncio.Future[Generation]] = []
        self.cache = ResultCache(max_bytes, ttl_seconds, lambda lookup: self.lookups.update([lookup]), self.clock)

    def ask(self, key: str = "k", deadline: float = FAR) -> asyncio.Task[tuple[Generation, str]]:
        return asyncio.create_task(self.cache.get(key, deadline, self._start))

    def _start(self) -> asyncio.Future[Generation]:
        self.started.append(asyncio.get_running_loop().create_future())
        return self.started[-1]

    async def flying(self, count: int, waiting: int) -> None:
        """Wait until `count` generations were started for `waiting` lookups."""
        await until(lambda: len(self.started) == count and sum(self.lookups.values()) == waiting)

    async def keep(self, key: str, answer: Generation = ANSWER) -> None:
        asked = self.ask(key)
        before = len(self.started)
        await until(lambda: len(self.started) > before)
        self.started[-1].set_result(answer)
        await asked


async def test_an_equal_request_is_not_generated_again():
    bench = Bench()
    await bench.keep("k")
    assert await bench.ask("k") == (ANSWER, "hit")
    assert len(bench.started) == 1
    assert bench.lookups == {"miss": 1, "hit": 1}


async def test_an_expired_generation_is_generated_again():
    bench = Bench(ttl_seconds=60)
    await bench.keep("k")
    bench.clock.now = 59.9
    assert await bench.ask("k") == (ANSWER, "hit")
    bench.clock.now = 60.0
    await bench.keep("k")
    assert bench.lookups == {"miss": 2, "hit": 1}
    assert len(bench.cache) == 1


async def test_the_least_recently_used_generation_is_evicted_first():
    one = Bench()
    await one.keep("a")
    bench = Bench(max_bytes=2 * one.cache.size)
    await bench.keep("a")
    await bench.keep("b")
    await bench.ask("a")
    await bench.keep("c")
    assert len(bench.cache) == 2
    assert [(await bench.ask(key))[1] for key in ("a", "c")] == ["hit", "hit"]
    bench.ask("b")
    await bench.flying(4, 7)


async def test_a_generation_larger_than_the_cache_is_returned_and_not_kept():
    bench = Bench(max_bytes=100)
    await bench.keep("k")
    assert (len(bench.cache), bench.cache.size) == (0, 0)


async def test_the_size_of_the_cache_equals_its_memory():
    cache = ResultCache(1_000_000, 60.0, lambda lookup: None)
    randoms = Random(7)

    def answer() -> Generation:
        def hypothesis() -> Hypothesis:
            tokens = tuple(randoms.randrange(300, 8000) for _ in range(12))
            return Hypothesis(tokens, -randoms.random(), -randoms.random(), True)

        return Generation(tuple(hypothesis() for _ in range(8)), randoms.random(), 12, False, *map(float, range(2, 4)))

    async def keep(numbers: range) -> None:
        for number in numbers:
            future: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
            future.set_result(answer())
            key = ("model", None, number.to_bytes(400, "little"))
            await cache.get(key, FAR, lambda future=future: future)
            await asyncio.sleep(0)

    await keep(range(10))
    gc.collect()
    tracemalloc.start()
    before, size_before = tracemalloc.get_traced_memory()[0], cache.size
    await keep(range(10, 110))
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(cache) == 110
    assert 0.8 * taken < cache.size - size_before < 1.25 * taken
    await keep(range(110, 410))
    assert 950_000 < cache.size <= 1_000_000


async def test_requests_in_flight_share_one_generation():
    bench = Bench()
    asked = [bench.ask() for _ in range(5)]
    await bench.flying(1, 5)
    bench.started[0].set_result(ANSWER)
    assert [lookup for _, lookup in await asyncio.gather(*asked)] == ["miss", *["joined"] * 4]
    assert bench.lookups == {"miss": 1, "joined": 4}


async def test_a_cut_generation_is_shared_and_not_kept():
    bench = Bench()
    asked = [bench.ask(), bench.ask()]
    await bench.flying(1, 2)
    cut = replace(ANSWER, deadline_reached=True)
    bench.started[0].set_result(cut)
    assert [answer for answer, _ in await asyncio.gather(*asked)] == [cut, cut]
    assert len(bench.cache) == 0


async def test_cancelling_the_first_request_does_not_cancel_a_shared_generation():
    bench = Bench()
    first, second = bench.ask(), bench.ask()
    await bench.flying(1, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not bench.started[0].cancelled()
    bench.started[0].set_result(ANSWER)
    assert await second == (ANSWER, "joined")


async def test_the_last_cancelled_caller_cancels_the_generation_and_the_next_starts_a_new_one():
    bench = Bench()
    asked = [bench.ask(), bench.ask()]
    await bench.flying(1, 2)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert bench.started[0].cancelled()
    await bench.keep("k")
    assert await bench.ask() == (ANSWER, "hit")


async def test_an_error_reaches_every_caller_that_waits_and_is_not_kept():
    bench = Bench()
    asked = [bench.ask(), bench.ask()]
    await bench.flying(1, 2)
    bench.started[0].set_exception(RequestFailed("bad shapes"))
    assert [type(e) for e in await asyncio.gather(*asked, return_exceptions=True)] == [RequestFailed] * 2
    await bench.keep("k")


async def test_an_earlier_deadline_gets_a_search_of_its_own_that_is_cut_in_time():
    bench = Bench()
    patient = bench.ask(deadline=100)
    await bench.flying(1, 1)
    hurried = bench.ask(deadline=20)
    await bench.flying(2, 2)
    bench.started[1].set_result(replace(ANSWER, deadline_reached=True))
    assert (await hurried)[1] == "miss"
    bench.started[0].set_result(ANSWER)
    assert (await patient)[0] is ANSWER
    assert await bench.ask() == (ANSWER, "hit")


async def test_a_much_later_deadline_does_not_join_a_short_search():
    bench = Bench()
    hurried = bench.ask(deadline=5)
    await bench.flying(1, 1)
    patient = bench.ask(deadline=25)
    await bench.flying(2, 2)
    for future in bench.started:
        future.set_result(ANSWER)
    assert [lookup for _, lookup in await asyncio.gather(hurried, patient)] == ["miss", "miss"]


async def test_a_later_request_with_an_equal_budget_joins_the_generation():
    bench = Bench()
    first = bench.ask(deadline=25)
    await bench.flying(1, 1)
    bench.clock.now = 10.0
    second = bench.ask(deadline=35)
    await bench.flying(1, 2)
    bench.started[0].set_result(ANSWER)
    assert [lookup for _, lookup in await asyncio.gather(first, second)] == ["miss", "joined"]
