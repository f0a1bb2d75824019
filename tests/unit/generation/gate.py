"""Shared by the tests of the scheduler: requests, a gate that stops the loop before a step, a failing constraint."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from generation.logits_processors import Restriction
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.stepper import Stepper

SOURCE = (0, 165, 198, 279, 221, 120, 5, 194, 40, 25, 213, 5, 194, 5, 77, 54, 126, 5, 2)
LONG = GenerationOptions(
    max_new_tokens=40, min_new_tokens=39, early_stopping="never", num_beams=4, num_return_sequences=4
)
SHORT = GenerationOptions(max_new_tokens=2, num_beams=4, num_return_sequences=4)
LONG_REQUEST = GenerationRequest(SOURCE, LONG)
SHORT_REQUEST = GenerationRequest(SOURCE, SHORT)


class Gate:
    """Lets the loop make one step at a time, so that a test knows its state.

    Attributes:
        requests: number of active requests of each step that was let through.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._permits = threading.Semaphore(0)
        self._arrived = threading.Semaphore(0)
        self._open = True
        self.requests: list[int] = []
        step = Stepper.step

        def gated(stepper: Stepper) -> None:
            if not self._open:
                self._arrived.release()
                assert self._permits.acquire(timeout=30)
                self.requests.append(stepper.requests)
            step(stepper)

        monkeypatch.setattr(Stepper, "step", gated)

    def close(self) -> None:
        self._open = False

    def wait(self) -> None:
        """Return when the loop is about to step."""
        assert self._arrived.acquire(timeout=30)

    def step(self, count: int = 1) -> None:
        """Let the loop make `count` steps; return when it is about to make the next one."""
        for _ in range(count):
            self._permits.release()
            self.wait()

    def open(self) -> None:
        self._open = True
        self._permits.release()


class Failing:
    """A constraint that forbids nothing, and raises in `restrict` at a given number of tokens."""

    def __init__(self, length: int) -> None:
        self._length = length

    def begin(self) -> int:
        return 0

    def follow(self, states: Sequence[int], beam_indices: Sequence[int], tokens: Sequence[int]) -> Sequence[int]:
        return [states[beam] + 1 for beam in beam_indices]

    def restrict(self, states: Sequence[int]) -> Sequence[Restriction]:
        if states[0] == self._length:
            raise ZeroDivisionError("poison")
        return [None] * len(states)
