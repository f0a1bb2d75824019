"""How long encoding and stepping take here and now, for saying whether something still fits before a deadline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

GAIN = 0.125  # weight of the newest measurement, as in TCP's estimate of round-trip times
FADE = 1 - 1 / 256  # what is left of a measurement's weight at the next one, where company is compared with being alone
DEVIATIONS = 2.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long something will take: the mean, in seconds, and the square of how far it strays from it.

    Things that are done one after the other add up. Their deviations cancel in part, as squares do.
    """

    mean: float
    square: float

    def __add__(self, other: Forecast) -> Forecast:
        return Forecast(self.mean + other.mean, self.square + other.square)

    @property
    def cautious(self) -> float:
        """A duration that is seldom exceeded."""
        return self.mean + DEVIATIONS * math.sqrt(self.square)


@dataclass(slots=True)
class Estimate:
    """A running mean of measurements and of how far they stray from it."""

    mean: float = 0.0
    deviation: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Take one measurement into account."""
        self.count += 1
        if self.count == 1:
            self.mean = value
            return
        error = value - self.mean
        self.mean += GAIN * error
        self.deviation += GAIN * (abs(error) - self.deviation)


@dataclass(slots=True)
class Line:
    """The time of a step over the number of requests: the line through what was measured, in which the old fades.

    It rises, but not faster than in proportion: rows cost something, and less in company. Through a single number of
    requests it goes in proportion.
    """

    _count: float = 0.0
    _x: float = 0.0
    _y: float = 0.0
    _xx: float = 0.0
    _xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        """Take one point into account."""
        self._count = FADE * self._count + 1
        self._x = FADE * self._x + x
        self._y = FADE * self._y + y
        self._xx = FADE * self._xx + x * x
        self._xy = FADE * self._xy + x * y

    def at(self, x: float) -> float:
        """Return the line's value; 0 where nothing was measured yet."""
        if not self._count:
            return 0.0
        mean_x, mean_y = self._x / self._count, self._y / self._count
        spread = self._xx / self._count - mean_x * mean_x
        in_proportion = mean_y / mean_x
        slope = (self._xy / self._count - mean_x * mean_y) / spread if spread > 1e-6 else in_proportion
        return mean_y + min(max(slope, 0.0), in_proportion) * (x - mean_x)


@dataclass(slots=True)
class Pace:
    """Measured durations of encoding (with the first step) and of steps, and the usual number of steps.

    Encoding is taken to grow with the source, between half of the longest's time and all of it. How a step grows with
    the number of requests changes little, and is learnt slowly; how busy the machine is changes quickly, and for all
    numbers alike.
    """

    longest_source: int
    steps: Estimate = field(default_factory=Estimate)
    _encode: Estimate = field(default_factory=Estimate)
    _step: Line = field(default_factory=Line)
    _busy: Estimate = field(default_factory=Estimate)

    def encoded(self, source_tokens: int, seconds: float) -> None:
        """Take note of one encoding."""
        self._encode.add(seconds / self._share(source_tokens))

    def stepped(self, requests: int, seconds: float) -> None:
        """Take note of one step."""
        self._step.add(requests, seconds)
        usual = self._step.at(requests)
        if usual:
            self._busy.add(seconds / usual)

    def ended(self, steps: int) -> None:
        """Take note of how many steps a request took that was not cut short."""
        self.steps.add(float(steps))

    def encoding(self, source_tokens: float, count: int = 1) -> Forecast:
        """Return how long the encoding of so many sources of a length will take."""
        share = self._share(source_tokens)
        return Forecast(count * share * self._encode.mean, count * (share * self._encode.deviation) ** 2)

    def stepping(self, requests: int, steps: float = 1.0, searches: float = 0.0) -> Forecast:
        """Return how long steps of so many requests will take; no time where nothing was measured yet.

        Args:
            requests: that are moved on at each step.
            steps: how many steps, as far as one can tell.
            searches: of how many requests that number depends on when they end, which is not known.
        """
        one = self._step.at(requests)
        step, strays = one * self._busy.mean, one * self._busy.deviation
        return Forecast(steps * step, steps * strays**2 + searches * (step * self.steps.deviation) ** 2)

    def steps_left(self, taken: int, limit: int) -> float:
        """Return how many more steps a request will take that has taken so many; one is left at least."""
        usual = min(self.steps.mean, float(limit)) if self.steps.count else float(limit)
        return max(1.0, usual - taken)

    def _share(self, source_tokens: float) -> float:
        return 0.5 + 0.5 * min(1.0, source_tokens / self.longest_source)
