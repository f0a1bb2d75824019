"""The engine's thread: every future that it hands out is resolved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from generation.options import GenerationOptions
from service.errors import GenerationFailed, WorkerDied
from service.runner import WorkerThread
from tests.fixtures.serving import ScriptedEngine, generation

OPTIONS = GenerationOptions()
FAR = float("inf")


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
async def worker(engine: ScriptedEngine) -> AsyncIterator[WorkerThread]:
    worker = WorkerThread(lambda: engine)
    await worker.start()
    yield worker
    engine.release()
    await worker.close()


async def started(engine: ScriptedEngine) -> None:
    assert await asyncio.to_thread(engine.started.wait, 30)


async def test_results_come_back_in_order(worker, engine):
    engine.say(generation([1, 2]))
    results = await asyncio.gather(*(worker.submit([number], OPTIONS, FAR) for number in range(5)))
    assert engine.seen == [[0], [1], [2], [3], [4]]
    assert all(result.hypotheses[0].token_ids == (1, 2) for result in results)


async def test_an_engine_error_fails_its_request_and_no_other(worker, engine):
    engine.error = ValueError("bad shapes")
    with pytest.raises(GenerationFailed) as caught:
        await worker.submit([1], OPTIONS, FAR)
    assert isinstance(caught.value.__cause__, ValueError)
    assert not isinstance(caught.value, WorkerDied)
    engine.error = None
    assert worker.alive
    await worker.submit([2], OPTIONS, FAR)


async def test_a_cancelled_request_is_never_started(worker, engine):
    engine.hold()
    first = worker.submit([1], OPTIONS, FAR)
    await started(engine)
    left, stays = worker.submit([2], OPTIONS, FAR), worker.submit([3], OPTIONS, FAR)
    assert worker.waiting == 2
    left.cancel()
    engine.release()
    await asyncio.gather(first, stays)
    assert engine.seen == [[1], [3]]


async def test_cancelling_one_that_is_running_leaves_the_thread_working(worker, engine):
    engine.hold()
    running = worker.submit([1], OPTIONS, FAR)
    await started(engine)
    running.cancel()
    engine.release()
    await worker.submit([2], OPTIONS, FAR)
    assert worker.alive


@pytest.mark.parametrize("death", [SystemExit("killed"), KeyboardInterrupt()])
async def test_when_the_thread_dies_every_future_fails_and_so_do_later_ones(worker, engine, death, caplog):
    engine.hold()
    engine.error = death
    futures = [worker.submit([number], OPTIONS, FAR) for number in range(3)]
    await started(engine)
    engine.release()
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [WorkerDied] * 3
    assert not worker.alive
    with pytest.raises(WorkerDied):
        await worker.submit([9], OPTIONS, FAR)
    assert "the engine's thread has died" in caplog.text


async def test_closing_fails_what_is_queued(worker, engine):
    engine.hold()
    running, queued = worker.submit([1], OPTIONS, FAR), worker.submit([2], OPTIONS, FAR)
    await started(engine)
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0)
    engine.release()
    await closing
    await running
    with pytest.raises(WorkerDied):
        await queued


async def test_an_engine_that_cannot_warm_up_does_not_start(engine):
    def broken() -> None:
        raise RuntimeError("no such kernel")

    engine.warm_up = broken
    worker = WorkerThread(lambda: engine)
    with pytest.raises(GenerationFailed):
        await worker.start()
    await worker.close()


def test_an_engine_that_cannot_be_built_is_told_to_who_asked():
    def broken() -> ScriptedEngine:
        raise ValueError("no graph")

    with pytest.raises(ValueError, match="no graph"):
        WorkerThread(broken)


def test_the_engine_is_built_in_its_thread():
    built_in = []

    def build() -> ScriptedEngine:
        built_in.append(threading.current_thread().name)
        return ScriptedEngine()

    worker = WorkerThread(build)
    assert built_in == ["onebar-generation"]
    assert worker.alive
