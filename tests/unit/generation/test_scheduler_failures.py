"""Failures of a request, of a step and of the loop, and closing: the effect on the other requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generation.bundle import load_bundle
from generation.engine import Engine
from generation.errors import RequestFailed, SchedulerStopped
from generation.lane import Lane
from generation.logits_processors import Allowed, Banned, Filtered, Restriction
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.scheduler import Scheduler
from generation.stepper import Stepper
from tests.fixtures.tiny_bundle import build_tiny_bundle
from tests.unit.generation.gate import LONG_REQUEST, SHORT_REQUEST, SOURCE, Failing, Gate

OPTIONS = GenerationOptions(max_new_tokens=10, min_new_tokens=6, num_beams=4, num_return_sequences=4)


def poison(*_: object) -> Any:
    raise ZeroDivisionError("poison")


class Harmless:
    """A constraint that forbids nothing."""

    def begin(self) -> None: ...

    def follow(self, states: Sequence[None], beam_indices: Sequence[int], tokens: Sequence[int]) -> Sequence[None]:
        return [None] * len(tokens)

    def restrict(self, states: Sequence[None]) -> Sequence[Restriction]:
        return [None] * len(states)


class FailsToBegin(Harmless):
    begin = poison


class FailsToFollow(Harmless):
    follow = poison


class FailsWhenCandidatesAreTested(Harmless):
    def restrict(self, states: Sequence[None]) -> Sequence[Restriction]:
        return [Filtered(poison)] * len(states)


class FailsToRank(Harmless):
    def rank(self, states: Sequence[Any], logprobs: NDArray[np.float32], sums: Sequence[float], wanted: int) -> Any:
        poison()


class BansNothingReadable(Failing):
    def restrict(self, states: Sequence[int]) -> Sequence[Restriction]:
        return [Banned(None) if states[0] == self._length else None] * len(states)  # type: ignore[arg-type]


class AllowsTokensBeforeTheFirst(Harmless):
    def restrict(self, states: Sequence[None]) -> Sequence[Restriction]:
        return [Allowed(np.array([-2, -1, 7]))] * len(states)


class RanksTokensBehindTheLast(Harmless):
    def rank(self, states: Sequence[Any], logprobs: NDArray[np.float32], sums: Sequence[float], wanted: int) -> Any:
        return [-1.0], [0], [logprobs.shape[1]]


class LosesABeam(Harmless):
    def restrict(self, states: Sequence[None]) -> Sequence[Restriction]:
        return [None] * (len(states) - 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Failing(0), "poison"),
        (lambda: Failing(1), "poison"),
        (lambda: Failing(5), "poison"),
        (FailsToBegin, "poison"),
        (FailsToFollow, "poison"),
        (FailsWhenCandidatesAreTested, "poison"),
        (FailsToRank, "poison"),
        (lambda: BansNothingReadable(0), "NoneType"),
        (lambda: BansNothingReadable(3), "NoneType"),
        (AllowsTokensBeforeTheFirst, "outside of the vocabulary"),
        (RanksTokensBehindTheLast, "outside of the vocabulary"),
        (LosesABeam, "restricted 0 of 1 beams"),
        (lambda: None, "begin"),
    ],
    ids=[
        "first step",
        "second step",
        "later step",
        "begin",
        "follow",
        "predicate",
        "rank",
        "unreadable ban",
        "unreadable ban later",
        "negative token",
        "unknown token",
        "lost beam",
        "None",
    ],
)
def test_a_constraint_that_raises_fails_only_its_own_request(
    scheduler: Scheduler, make: Callable[[], Any], said: str
) -> None:
    # A constraint that ranks is asked only if it is the request's only one.
    poisoned_options = (
        GenerationOptions(max_new_tokens=10, min_new_tokens=0)
        if make in (FailsToRank, RanksTokensBehindTheLast)
        else OPTIONS
    )
    healthy_request = GenerationRequest(SOURCE, OPTIONS)
    healthy = [scheduler.submit_future(healthy_request) for _ in range(2)]
    poisoned = scheduler.submit_future(GenerationRequest(SOURCE, poisoned_options, processors=(make(),)))
    healthy.append(scheduler.submit_future(healthy_request))
    with pytest.raises(RequestFailed, match=said) as caught:
        poisoned.result(timeout=30)
    assert caught.value.__cause__ is not None
    expected = Engine(scheduler.bundle).generate(healthy_request).hypotheses
    assert [future.result(timeout=30).hypotheses for future in healthy] == [expected] * 3
    assert scheduler.alive
    assert scheduler.stats().failed == 1


def test_a_failed_step_of_several_requests_is_repeated_for_each_of_them(
    scheduler: Scheduler, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Lane._run
    batches: list[int] = []

    def refuses_batches(lane: Lane, arrays: object, slot: int, count: int, logprobs: bool) -> None:
        if count > 1:
            batches.append(count)
            raise MemoryError("no memory for so many")
        run(lane, arrays, slot, count, logprobs)  # type: ignore[arg-type]

    monkeypatch.setattr(Lane, "_run", refuses_batches)
    scheduler._loop.stepper._together = 3  # independent of what `tuning` measured on this machine
    gate.close()
    first = scheduler.submit_future(SHORT_REQUEST)
    gate.wait()
    others = [scheduler.submit_future(LONG_REQUEST) for _ in range(2)]
    gate.step(3)
    gate.open()
    engine = Engine(scheduler.bundle)
    assert first.result(30).hypotheses == engine.generate(SHORT_REQUEST).hypotheses
    assert [other.result(30).hypotheses for other in others] == [engine.generate(LONG_REQUEST).hypotheses] * 2
    assert batches


def test_a_nan_in_a_slot_does_not_reach_the_next_request(tmp_path: Path) -> None:
    engine = Engine(load_bundle(build_tiny_bundle(tmp_path / "fp32", seed=1, precision="fp32")))
    expected = engine.generate(LONG_REQUEST).hypotheses
    lane = next(iter(engine._stepper._lanes.values()))
    for memory in lane._cache.values():
        memory[...] = np.nan
    with pytest.raises(RequestFailed, match="not a number"):
        engine.generate(LONG_REQUEST)
    assert engine.generate(LONG_REQUEST).hypotheses == expected


def test_the_end_of_the_loop_fails_all_requests_and_readiness(
    scheduler: Scheduler, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate.close()
    stepped = scheduler.submit_future(LONG_REQUEST)
    gate.wait()
    waits = scheduler.submit_future(LONG_REQUEST)
    monkeypatch.setattr(Stepper, "step", lambda _: (_ for _ in ()).throw(SystemExit))
    gate.open()
    for future in (stepped, waits):
        with pytest.raises(SchedulerStopped):
            future.result(timeout=30)
    scheduler._thread.join(timeout=30)
    assert not scheduler.alive
    assert "the generation loop has died" in caplog.text
    with pytest.raises(SchedulerStopped):
        scheduler.submit_future(SHORT_REQUEST)


def test_the_end_of_the_loop_in_an_encoder_pass_fails_that_request(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stepper, "begin", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SchedulerStopped):
        scheduler.submit_future(SHORT_REQUEST).result(timeout=30)


def test_a_model_whose_output_is_not_a_number_does_not_start(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Lane._run

    def overflows(lane: Lane, *given: Any) -> None:
        run(lane, *given)
        lane.sums[:] = np.nan

    monkeypatch.setattr(Lane, "_run", overflows)
    with pytest.raises(RequestFailed, match="not a number"):
        Scheduler(load_bundle(bundle_path))


def test_closing_finishes_the_requests_in_progress(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    futures = [scheduler.submit_future(SHORT_REQUEST) for _ in range(5)]
    gate.wait()
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    gate.open()
    closing.join(timeout=30)
    assert [len(future.result(timeout=0).hypotheses) for future in futures] == [4] * 5
    assert not scheduler.alive


def test_requests_that_are_not_finished_in_the_drain_time_fail(scheduler: Scheduler, gate: Gate) -> None:
    gate.close()
    future = scheduler.submit_future(LONG_REQUEST)
    gate.wait()
    closing = threading.Thread(target=scheduler.close, args=(0.0,))
    closing.start()
    gate.open()
    closing.join(timeout=30)
    with pytest.raises(SchedulerStopped):
        future.result(timeout=0)
