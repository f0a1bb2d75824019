"""The objective, and whether a run met it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.samples import Sample, percentile, waits_ms
from loadtest.traffic import BATCH


@dataclass(frozen=True, slots=True)
class Objective:
    """What a run must show.

    The latency alone could be met by answering nothing, or by cutting every answer at its deadline; hence the shares.

    Attributes:
        p99_ms: of `/recommend` at the client, all single scenarios together: over the calls with status 200, from the
            time at which each was due (lag plus latency).
        max_degraded_share: of calls that got less than a whole answer: something was missing or cut (the deadline
            included), or they were refused with 429.
        min_recommend_share: of answers to `/recommend` that show something. The demo's unsafe videos, some 4 % of
            them, must show nothing, and the head of a Zipf distribution may hold one.
        max_lag_ms: p99 of how late calls left the load generator; over it the run says nothing about the service.
    """

    p99_ms: float = 30.0
    max_degraded_share: float = 0.01
    min_recommend_share: float = 0.75
    max_lag_ms: float = 20.0


def violations(samples: Sequence[Sample], rate: float, seconds: float, objective: Objective) -> list[str]:
    """Every way in which a run missed the objective, as sentences; none where it passed.

    Args:
        samples: the calls of the measured window.
        rate: the intended calls per second.
        seconds: the length of the window.
        objective: what to hold them against.
    """
    singles = [sample for sample in samples if sample.scenario != BATCH]
    answered = [sample for sample in singles if sample.status == 200]
    if not answered:
        return ["no call of /recommend was answered", *_errors(samples)]
    found = _errors(samples)
    p99 = percentile(waits_ms(singles), 99)
    if p99 > objective.p99_ms:
        found.append(f"p99 of /recommend is {p99:.1f} ms, over {objective.p99_ms:g} ms")
    outcomes = [outcome for sample in answered for outcome in sample.outcomes]
    degraded = sum(bool(outcome.degraded) for outcome in outcomes)
    refused = sum(sample.refused for sample in singles)
    less = (degraded + refused) / len(singles)
    if less > objective.max_degraded_share:
        found.append(
            f"{less:.1%} of the calls got less than a whole answer ({degraded} degraded or cut, {refused} refused "
            f"with 429), over {objective.max_degraded_share:.1%}"
        )
    shown = sum(outcome.decision == "recommend" for outcome in outcomes) / max(1, len(outcomes))
    if shown < objective.min_recommend_share:
        found.append(f"{shown:.1%} of the answers show something, under {objective.min_recommend_share:.0%}")
    expected = rate * seconds
    # Arrivals are random: their count strays by its own square root, and hardly ever by four of them.
    if len(samples) < expected - 4 * math.sqrt(expected):
        found.append(f"only {len(samples)} of some {expected:.0f} calls were sent; the run is void")
    lag = percentile([sample.lag_ms for sample in samples], 99)
    if lag > objective.max_lag_ms:
        found.append(f"the load generator was late by {lag:.1f} ms (p99); it is short of CPU and the run is void")
    return found


def _errors(samples: Sequence[Sample]) -> list[str]:
    faulty = [sample for sample in samples if sample.faults]
    if not faulty:
        return []
    kinds = Counter(f"{sample.scenario}: {sample.faults[0]}" for sample in faulty)
    examples = "; ".join(f"{count} x {text}" for text, count in kinds.most_common(3))
    return [f"{len(faulty)} answers are wrong ({examples})"]
