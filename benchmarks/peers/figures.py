"""Percentiles, ratios, and the targets that they are compared with."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

ALONE = "1"  # the phase of one request at a time; other phases are named by their clients
ENGINE = "OneBar int8"
CTRANSLATE2 = "CTranslate2 int8"
OPTIMUM = "optimum ORT fp32"
IN_FLIGHT = "OneBar int8, in flight"


@dataclass(frozen=True, slots=True)
class Block:
    """What one contender did in one phase of one round.

    latencies: seconds of each request.
    throughput: requests answered a second.
    cores: CPU time over time.
    """

    latencies: list[float]
    throughput: float
    cores: float


@dataclass(frozen=True, slots=True)
class Bar:
    """What the engine must show: at most (or at least) `wanted` times the other's figure.

    figure: "p50_ms" or "throughput".
    """

    size: str
    text: str
    figure: str
    ours: tuple[str, str]  # contender, phase
    theirs: tuple[str, str]
    wanted: float
    at_most: bool


BARS = (
    Bar("w256", "latency alone / CTranslate2", "p50_ms", (ENGINE, ALONE), (CTRANSLATE2, ALONE), 0.75, True),
    Bar("w512", "latency alone / CTranslate2", "p50_ms", (ENGINE, ALONE), (CTRANSLATE2, ALONE), 0.55, True),
    Bar("w768", "latency alone / CTranslate2", "p50_ms", (ENGINE, ALONE), (CTRANSLATE2, ALONE), 0.80, True),
    Bar("w256", "latency alone / optimum", "p50_ms", (ENGINE, ALONE), (OPTIMUM, ALONE), 0.15, True),
    Bar("w256", "throughput at 16 / own alone", "throughput", (IN_FLIGHT, "16"), (ENGINE, ALONE), 1.6, False),
    Bar("w512", "throughput at 16 / own alone", "throughput", (IN_FLIGHT, "16"), (ENGINE, ALONE), 1.4, False),
    Bar("w256", "throughput at 16 / CTranslate2", "throughput", (IN_FLIGHT, "16"), (CTRANSLATE2, "16"), 1.5, False),
    Bar("w512", "throughput at 16 / CTranslate2", "throughput", (IN_FLIGHT, "16"), (CTRANSLATE2, "16"), 1.5, False),
)


def summarize(blocks: Sequence[Block]) -> dict[str, Any]:
    """Return what one contender did in one phase, over all rounds; per_round has what ratios are made of.

    cpu_ms, of one request, and cores show whether the machine gave each contender the one core that it should have.
    """
    latencies = np.concatenate([block.latencies for block in blocks]) * 1000
    return {
        "requests": len(latencies),
        "p50_ms": _rounded(float(np.percentile(latencies, 50))),
        "p99_ms": _rounded(float(np.percentile(latencies, 99))),
        "throughput": _rounded(statistics.median(block.throughput for block in blocks)),
        "cpu_ms": _rounded(statistics.median(block.cores / block.throughput for block in blocks) * 1000),
        "cores": round(statistics.median(block.cores for block in blocks), 2),
        "per_round": {
            "p50_ms": [_rounded(float(np.median(block.latencies)) * 1000) for block in blocks],
            "throughput": [_rounded(block.throughput) for block in blocks],
        },
    }


def ratio(ours: dict[str, Any], theirs: dict[str, Any], figure: str) -> dict[str, float]:
    """Return the ratio of two contenders' figures: the median over rounds, the least and the greatest.

    Rounds are compared with the same round, where both took part in it: what slowed one slowed the other. A round's
    p50 is its median request, its throughput a mean over the block.
    """
    pairs = zip(ours["per_round"][figure], theirs["per_round"][figure], strict=False)
    rounds = [mine / other for mine, other in pairs]
    return {
        "ratio": round(statistics.median(rounds), 3),
        "min": round(min(rounds), 3),
        "max": round(max(rounds), 3),
    }


def hold(size: str, phases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Hold one size's figures against its bars; a bar whose contenders were not run is left out.

    Args:
        size: name of the size.
        phases: {phase: {contender: what `summarize` returned}}.
    """
    found = []
    for bar in BARS:
        ours, theirs = (phases.get(phase, {}).get(name) for name, phase in (bar.ours, bar.theirs))
        if bar.size != size or ours is None or theirs is None:
            continue
        measured = ratio(ours, theirs, bar.figure)
        met = measured["ratio"] <= bar.wanted if bar.at_most else measured["ratio"] >= bar.wanted
        found.append({**asdict(bar), **measured, "met": met})
    return found


def _rounded(value: float) -> float:
    """Keep four digits: more is noise."""
    return float(f"{value:.4g}")
