"""The two systems of an experiment, and the bars that they would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from demo.world.policy import EXAMINED, SHOWN
from evaluation.cascade.stages import Cascade
from evaluation.inputs import Example
from evaluation.predict import BundlePredictor
from evidence.safety import ProhibitedTerms


@dataclass(frozen=True, slots=True)
class Bar:
    """What a system would show at one impression.

    Attributes:
        queries: up to SHOWN, best first; none if the system has nothing to show.
        confidence: the clicks that the system expects, sum over positions of P(looked at) P(wanted).
    """

    queries: tuple[str, ...] = ()
    confidence: float = 0.0


class Arm(Protocol):
    """A system behind the bar."""

    def bars(self, examples: Sequence[Example]) -> list[Bar]:
        """Return the bar of each impression."""


def bar_of(ranked: Sequence[tuple[str, float]]) -> Bar:
    """Return the bar of queries with their probabilities, best first."""
    shown = ranked[:SHOWN]
    confidence = sum(weight * chance for weight, (_, chance) in zip(EXAMINED.tolist(), shown, strict=False))
    return Bar(tuple(query for query, _ in shown), confidence)


class CascadeArm:
    """The cascade MCA."""

    def __init__(self, cascade: Cascade) -> None:
        """Keep the cascade, as of the day that is played."""
        self._cascade = cascade

    def bars(self, examples: Sequence[Example]) -> list[Bar]:
        """Return the best candidates of each impression."""
        return [bar_of(ranked) for ranked in self._cascade.rank(examples)]


class BundleArm:
    """A bundle: generation, `[REJECT]`, and the check for prohibited terms that serving makes after it."""

    def __init__(self, predictor: BundlePredictor, terms: ProhibitedTerms) -> None:
        """Keep the bundle and the prohibited terms of the platform."""
        self._predictor = predictor
        self._is_risky = lru_cache(maxsize=1 << 16)(lambda query: terms.find(query) is not None)

    def bars(self, examples: Sequence[Example]) -> list[Bar]:
        """Return the best hypotheses of each impression; none where the bundle abstains."""
        threshold = self._predictor.bundle.reject_threshold
        bars = []
        for answer in self._predictor.answers([example.evidence() for example in examples]):
            ranked = zip(answer.queries, answer.probabilities, strict=True)
            safe = [(query, chance) for query, chance in ranked if not self._is_risky(query)]
            bars.append(Bar() if answer.abstains(threshold) else bar_of(safe))
        return bars
