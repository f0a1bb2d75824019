"""The scheduler: requests that are stepped together, the order in which they begin, and cancellation."""

from __future__ import annotations

import asyncio
import weakref
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from generation.bundle import load_bundle
from generation.engine import Engine
from generation.errors import OptionsError, SourceError
from generation.lane import Lane
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.scheduler import Scheduler
from generation.stepper import MAX_IDLE_LANES
from tests.unit.generation.gate import LONG_REQUEST, SHORT, SHORT_REQUEST, SOURCE, Gate


async def test_answers_equal_those_of_the_engine(scheduler: Scheduler) -> None:
    request = GenerationRequest(SOURCE, scheduler.bundle.generation)
    found = await scheduler.submit(request)
    expected = Engine(scheduler.bundle).generate(request)
    assert found.hypotheses == expected.hypotheses
    assert found.reject_probability == expected.reject_probability
    assert not found.deadline_reached


def test_a_request_that_the_model_cannot_answer_is_refused_before_it_is_queued(scheduler: Scheduler) -> None:
    with pytest.raises(SourceError):
        scheduler.submit_future(GenerationRequest([], SHORT))
    with pytest.raises(OptionsError):
        scheduler.submit_future(GenerationRequest(SOURCE, GenerationOptions(max_new_tokens=200)))
    assert scheduler.waiting == 0


def test_requests_join_and_leave_between_steps(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    first = scheduler.submit_future(LONG_REQUEST)
    gate.wait()
    second = scheduler.submit_future(SHORT_REQUEST)
    gate.step(3)
    assert gate.requests == [1, 2, 1]
    assert second.result(timeout=30).steps == 2
    assert not first.done()


def test_the_row_budget_holds_and_requests_begin_in_the_order_of_submission(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    futures = [scheduler.submit_future(LONG_REQUEST)]
    gate.wait()
    futures += [scheduler.submit_future(LONG_REQUEST) for _ in range(4)]
    gate.step(5)
    assert gate.requests == [1, 2, 3, 3, 3]  # one joins between two steps; 12 rows hold three
    assert (scheduler.active, scheduler.waiting) == (3, 2)
    assert scheduler.stats().rows == 12
    futures[1].cancel()
    gate.step(1)
    futures[3].cancel()  # the request that took the place of the first one cancelled
    gate.step(2)
    assert gate.requests[5:] == [3, 3, 3]
    assert (scheduler.active, scheduler.waiting) == (3, 0)


def test_a_request_wider_than_the_row_budget_is_answered(scheduler: Scheduler) -> None:
    options = GenerationOptions(num_beams=16, num_return_sequences=16)
    assert len(scheduler.generate(GenerationRequest(SOURCE, options)).hypotheses) == 16


async def test_a_cancelled_coroutine_frees_its_rows_before_the_next_step(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    stays = asyncio.create_task(scheduler.submit(LONG_REQUEST))
    leaves = asyncio.create_task(scheduler.submit(LONG_REQUEST))
    await asyncio.to_thread(gate.wait)
    await asyncio.to_thread(gate.step)
    assert scheduler.active == 2
    leaves.cancel()
    await asyncio.wait([leaves])
    await asyncio.to_thread(gate.step, 2)
    assert gate.requests[-1] == 1
    assert scheduler.stats().rows == 4
    gate.open()
    assert len((await stays).hypotheses) == 4
    assert scheduler.stats().cancelled == 1


def test_a_request_that_is_cancelled_while_it_waits_is_never_encoded(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    scheduler.submit_future(LONG_REQUEST)
    gate.wait()
    cancelled = scheduler.submit_future(LONG_REQUEST)
    cancelled.cancel()
    encodes = scheduler.stats().encodes
    gate.step(2)
    assert wait([cancelled], timeout=30).done == {cancelled}  # waiters are notified
    assert scheduler.stats().encodes == encodes
    assert gate.requests == [1, 1]


def test_a_future_that_is_cancelled_before_the_loop_sees_it_leaves_the_loop_running(
    scheduler: Scheduler, gate: Gate
) -> None:
    gate.close()
    active = scheduler.submit_future(SHORT_REQUEST)
    gate.wait()
    active.cancel()  # in its last step: the loop finds out when it resolves the future
    gate.open()
    for _ in range(100):
        scheduler.submit_future(SHORT_REQUEST).cancel()
    assert scheduler.generate(SHORT_REQUEST).steps == 2
    assert active.cancelled()
    assert scheduler.stats().cancelled == 101
    assert scheduler.alive


def test_an_empty_lane_releases_its_memory(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[Lane] = weakref.WeakSet()
    init = Lane.__init__

    def recorded(lane: Lane, *given: Any, **named: Any) -> None:
        alive.add(lane)
        init(lane, *given, **named)

    monkeypatch.setattr(Lane, "__init__", recorded)
    engine = Engine(load_bundle(bundle_path))
    for max_new_tokens in range(4, 64, 4):
        engine.generate(GenerationRequest(SOURCE, GenerationOptions(max_new_tokens=max_new_tokens)))
    assert len(alive) == MAX_IDLE_LANES  # at once, not when the garbage collector runs


def test_a_longer_queue_is_expected_to_take_longer(scheduler: Scheduler, gate: Gate) -> None:
    forecaster = scheduler.forecaster
    gate.close()
    idle = forecaster.expected_seconds(len(SOURCE), 0, SHORT)
    assert idle > 0.0
    assert forecaster.expected_seconds(len(SOURCE), 3, SHORT) > 2 * idle
    expected = [idle]
    for _ in range(6):
        scheduler.submit_future(LONG_REQUEST)
        expected.append(forecaster.expected_seconds(len(SOURCE), 0, SHORT))
    assert expected == sorted(expected)
    assert expected[-1] > 2 * idle
