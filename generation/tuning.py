"""Measures how many requests to run through the decoder graph at once on this machine.

More requests share the weights that are read, and fill the kernels better, but their intermediate results, above all
the log-probabilities, no longer fit the caches. The best number depends on both (docs/adr/0021). Answers do not depend
on it.
"""

from __future__ import annotations

import time

import numpy as np

from generation.backend import DecoderSession
from generation.bundle import Architecture
from generation.lane import Lane, LaneShape

COUNTS = (1, 2, 4, 8, 16, 32)
REPEATS = 5
PATIENCE_SECONDS = 2.0


def requests_together(session: DecoderSession, sizes: Architecture, shape: LaneShape, most: int) -> int:
    """Return the number of requests with the shortest time of a step per request.

    Each number is measured REPEATS times, and the shortest time counts, because other processes may use the machine. No
    further number is measured after PATIENCE_SECONDS.

    Args:
        session: runs the steps.
        sizes: of the model.
        shape: of the requests.
        most: largest number to consider.
    """
    began = time.perf_counter()
    best, least = 1, float("inf")
    for count in (count for count in COUNTS if count <= most):
        seconds = _step_seconds(session, sizes, shape, count) / count
        if seconds < least:
            best, least = count, seconds
        if time.perf_counter() - began > PATIENCE_SECONDS:
            break
    return best


def _step_seconds(session: DecoderSession, sizes: Architecture, shape: LaneShape, count: int) -> float:
    lane = Lane(session, sizes, shape, slots=count, together=count)
    source = np.zeros((1, sizes.attention_heads, shape.source_tokens, sizes.head_dim), np.float32)
    beams = [[0] * shape.num_beams] * count
    for slot in range(count):
        lane.join([source] * (2 * sizes.decoder_layers))
        lane.clear(slot)  # pages that were never written to are not mapped yet, and reading them costs nothing
    times = []
    for _ in range(min(REPEATS, shape.positions - 1)):
        before = time.perf_counter()
        lane.step(beams, beams, [[0.0] * shape.num_beams] * count, logprobs=False)
        times.append(time.perf_counter() - before)
    return min(times)
