"""Measured durations of encoder passes and decoder steps, and forecasts of whether more work fits before a deadline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

GAIN = 0.125  # weight of the newest measurement, as in TCP's estimate of round-trip times
FADE = 1 - 1 / 256  # factor on the weight of old points of a Line, for each new point
LEAST_SPREAD = 0.01  # variance of the numbers of requests from which a Line's slope is taken from its points
DEVIATIONS = 2.0
STALE_AFTER = 4  # decisions against work, without a measurement in between, that make a forecast stale


@dataclass(frozen=True, slots=True)
class Forecast:
    """How long some work will take. Forecasts of work done one after the other add up, means and variances alike.

    Attributes:
        mean: in seconds.
        variance: in square seconds.
    """

    mean: float
    variance: float

    def __add__(self, other: Forecast) -> Forecast:
        """Return the forecast of both pieces of work, one after the other."""
        return Forecast(self.mean + other.mean, self.variance + other.variance)

    @property
    def cautious(self) -> float:
        """The mean plus DEVIATIONS deviations: seconds that are seldom exceeded."""
        return self.mean + DEVIATIONS * math.sqrt(self.variance)


@dataclass(slots=True)
class Estimate:
    """A running mean of measurements, and their mean absolute deviation from it.

    Attributes:
        mean: exponentially weighted mean.
        deviation: exponentially weighted mean of absolute deviations.
        count: number of measurements.
    """

    mean: float = 0.0
    deviation: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Add one measurement."""
        self.count += 1
        if self.count == 1:
            self.mean = value
            return
        error = value - self.mean
        self.mean += GAIN * error
        self.deviation += GAIN * (abs(error) - self.deviation)


@dataclass(slots=True)
class Line:
    """The time of a step as a linear function of the number of requests, fitted to points whose weights fade.

    The slope is clamped between 0 and proportional growth, because more rows take longer, but share the weights that
    are read. Points at one number of requests tell no slope: then the last one that was measured holds, as a share
    of proportional growth. Before the first one, the line is proportional.

    Attributes:
        growth: the slope as a share of proportional growth.
    """

    growth: float = 1.0
    _count: float = 0.0
    _x: float = 0.0
    _y: float = 0.0
    _xx: float = 0.0
    _xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        """Add one point."""
        self._count = FADE * self._count + 1
        self._x = FADE * self._x + x
        self._y = FADE * self._y + y
        self._xx = FADE * self._xx + x * x
        self._xy = FADE * self._xy + x * y
        mean_x, mean_y = self._x / self._count, self._y / self._count
        spread = self._xx / self._count - mean_x * mean_x
        if spread > LEAST_SPREAD and mean_y:
            slope = (self._xy / self._count - mean_x * mean_y) / spread
            self.growth = min(max(slope * mean_x / mean_y, 0.0), 1.0)

    def at(self, x: float) -> float:
        """Return the line's value; 0 without any points."""
        if not self._count:
            return 0.0
        mean_x, mean_y = self._x / self._count, self._y / self._count
        return mean_y + self.growth * mean_y / mean_x * (x - mean_x)


@dataclass(slots=True)
class Freshness:
    """Whether a forecast still rests on recent measurements.

    A forecast that rules work out also prevents the measurement that would correct it. Without this, one long stall
    would rule out all later work for ever (docs/adr/0054).

    Attributes:
        fastest: shortest duration ever measured, in seconds.
        ruled_out: times since the last measurement that the forecast ruled work out. Work with less time left than
            `fastest` does not count: it was impossible by any forecast.
    """

    fastest: float = math.inf
    ruled_out: int = 0

    @property
    def stale(self) -> bool:
        """Whether the forecast should be replaced by `fastest`, so that the next work is done and measured."""
        return self.ruled_out >= STALE_AFTER

    def measured(self, seconds: float) -> None:
        """Note a measurement."""
        self.fastest = min(self.fastest, seconds)
        self.ruled_out = 0

    def rule_out(self, seconds_left: float) -> None:
        """Note that work was not done because the forecast was longer than the time left."""
        if seconds_left > self.fastest:
            self.ruled_out += 1


@dataclass(slots=True)
class Pace:
    """Measured durations of encoder passes (with the first step) and of steps, and the usual number of steps.

    The time of an encoder pass is taken to grow linearly with the source, from half of the longest source's time to
    all of it. The time of a step is a `Line` over the number of requests, which is learnt slowly, times a factor for
    how busy the machine is, which is learnt quickly and is the same for every number of requests (docs/adr/0022).

    A forecast that has ruled out work STALE_AFTER times without a measurement in between is stale: until the next
    measurement, which replaces it, the fastest duration ever measured is forecast (docs/adr/0054).

    Attributes:
        longest_source: tokens of the longest source that the model reads.
        steps: steps of the searches that were not cut short.
    """

    longest_source: int
    steps: Estimate = field(default_factory=Estimate)
    _encode: Estimate = field(default_factory=Estimate)
    _step: Line = field(default_factory=Line)
    _busy: Estimate = field(default_factory=Estimate)
    _encode_freshness: Freshness = field(default_factory=Freshness)
    _step_freshness: Freshness = field(default_factory=Freshness)

    def encoded(self, source_tokens: int, seconds: float) -> None:
        """Add the duration of one encoder pass."""
        whole = seconds / self._share(source_tokens)
        if self._encode_freshness.stale:
            self._encode = Estimate()
        self._encode_freshness.measured(whole)
        self._encode.add(whole)

    def encoding_ruled_out(self, source_tokens: int, seconds_left: float) -> None:
        """Note that a source was not encoded because of the forecast, although nothing else was to be done."""
        self._encode_freshness.rule_out(seconds_left / self._share(source_tokens))

    def stepped(self, requests: int, seconds: float) -> None:
        """Add the duration of one step."""
        if self._step_freshness.stale:
            self._busy = Estimate()
        self._step_freshness.measured(seconds)
        self._step.add(requests, seconds)
        usual = self._step.at(requests)
        if usual:
            self._busy.add(seconds / usual)

    def step_ruled_out(self, seconds_left: float) -> None:
        """Note that all active requests were cut short before a step because of the forecast."""
        self._step_freshness.rule_out(seconds_left)

    def ended(self, steps: int) -> None:
        """Add the number of steps of one search that was not cut short."""
        self.steps.add(float(steps))

    def encoding(self, source_tokens: float, count: int = 1) -> Forecast:
        """Return how long `count` encoder passes over sources of this length will take."""
        share = self._share(source_tokens)
        if self._encode_freshness.stale:
            return Forecast(count * share * self._encode_freshness.fastest, 0.0)
        return Forecast(count * share * self._encode.mean, count * (share * self._encode.deviation) ** 2)

    def stepping(self, requests: int, steps: float = 1.0, searches: float = 0.0) -> Forecast:
        """Return how long some steps will take; zero before the first measurement.

        Args:
            requests: requests that take part in each step.
            steps: expected number of steps.
            searches: number of searches that `steps` is the expected length of; their lengths vary.
        """
        one = self._step.at(requests)
        step, deviation = one * self._busy.mean, one * self._busy.deviation
        if self._step_freshness.stale:
            step, deviation = self._step_freshness.fastest, 0.0
        return Forecast(steps * step, steps * deviation**2 + searches * (step * self.steps.deviation) ** 2)

    def steps_left(self, taken: int, limit: int) -> float:
        """Return how many more steps a search is expected to take after `taken` of at most `limit`; at least one."""
        usual = min(self.steps.mean, float(limit)) if self.steps.count else float(limit)
        return max(1.0, usual - taken)

    def _share(self, source_tokens: float) -> float:
        return 0.5 + 0.5 * min(1.0, source_tokens / self.longest_source)
