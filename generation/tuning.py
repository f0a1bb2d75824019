"""How many requests to put through the decoder graph at once, measured on the machine that runs it.

More requests share the weights that are read, and their rows fill the kernels; but what a step writes in between, the
log-probabilities above all, leaves the caches. Where the best lies depends on both (docs/adr/0021). Answers do not.
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
    """Return the number of requests, `most` at most, at which a step takes least for each.

    The least of a few times counts, as others may use the machine; measuring ends after PATIENCE_SECONDS.
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
        lane.clear(slot)  # memory that was never written to is no memory yet, and costs nothing to read
    times = []
    for _ in range(min(REPEATS, shape.positions - 1)):
        before = time.perf_counter()
        lane.step(beams, beams, [[0.0] * shape.num_beams] * count, logprobs=False)
        times.append(time.perf_counter() - before)
    return min(times)
