"""How long encoding and stepping take here and now, for saying whether something still fits before a deadline."""

from __future__ import annotations

from dataclasses import dataclass, field

GAIN = 0.125  # weight of the newest measurement, as in TCP's estimate of round-trip times
DEVIATIONS = 2.0


@dataclass(slots=True)
class Estimate:
    """A running mean of durations and of how far they stray from it, in seconds."""

    mean: float = 0.0
    deviation: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        """Take one measurement into account."""
        self.count += 1
        if self.count == 1:
            self.mean = seconds
            return
        error = seconds - self.mean
        self.mean += GAIN * error
        self.deviation += GAIN * (abs(error) - self.deviation)

    @property
    def cautious(self) -> float:
        """A duration that is seldom exceeded."""
        return self.mean + DEVIATIONS * self.deviation


@dataclass(slots=True)
class Pace:
    """Measured durations of encoding (with the first step) and of steps, and the usual number of steps.

    Encoding is taken to grow with the source, between half of the longest's time and all of it. A step is measured
    for each number of requests; for a number never seen, the nearest one seen is scaled, which over-estimates a larger
    one: rows cost less in company.
    """

    longest_source: int
    steps: Estimate = field(default_factory=Estimate)
    _encode: Estimate = field(default_factory=Estimate)
    _step: dict[int, Estimate] = field(default_factory=dict)

    def encoded(self, source_tokens: int, seconds: float) -> None:
        """Take note of one encoding."""
        self._encode.add(seconds / self._share(source_tokens))

    def stepped(self, requests: int, seconds: float) -> None:
        """Take note of one step."""
        self._step.setdefault(requests, Estimate()).add(seconds)

    def ended(self, steps: int) -> None:
        """Take note of how many steps a request took that was not cut short."""
        self.steps.add(float(steps))

    def encode_seconds(self, source_tokens: int, *, cautious: bool = True) -> float:
        """Return how long the encoding of a source will take."""
        return (self._encode.cautious if cautious else self._encode.mean) * self._share(source_tokens)

    def step_seconds(self, requests: int, *, cautious: bool = True) -> float:
        """Return how long a step of so many requests will take; 0 where nothing was measured yet."""
        if not self._step:
            return 0.0
        seen_so_far = tuple(self._step)  # at once: the loop's thread may add to it while another thread asks
        nearest = min(seen_so_far, key=lambda seen: (abs(seen - requests), seen))
        estimate = self._step[nearest]
        return (estimate.cautious if cautious else estimate.mean) * max(1.0, requests / nearest)

    def _share(self, source_tokens: int) -> float:
        return 0.5 + 0.5 * min(1.0, source_tokens / self.longest_source)
