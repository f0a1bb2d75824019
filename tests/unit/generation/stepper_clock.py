"""A manual clock that encoder passes and steps move, so that tests of deadlines do not depend on the machine."""

from __future__ import annotations

import pytest

from generation.stepper import Stepper

ENCODE, STEP = 4.0, 1.0
"""Seconds that an encoder pass and a step take on the clock."""


class Clock:
    """A manual clock.

    Attributes:
        now: the time.
        encode_stall: added to the time of the next encoder pass.
        step_stall: added to the time of the next step.
    """

    now = 0.0
    encode_stall = 0.0
    step_stall = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only encoder passes and steps move."""
    clock = Clock()
    begin, step = Stepper.begin, Stepper.step

    def slow_begin(self: Stepper, *request: object) -> object:
        clock.now += ENCODE + clock.encode_stall
        clock.encode_stall = 0.0
        return begin(self, *request)  # type: ignore[arg-type]

    def slow_step(self: Stepper) -> None:
        clock.now += STEP + clock.step_stall
        clock.step_stall = 0.0
        step(self)

    monkeypatch.setattr(Stepper, "begin", slow_begin)
    monkeypatch.setattr(Stepper, "step", slow_step)
    return clock
