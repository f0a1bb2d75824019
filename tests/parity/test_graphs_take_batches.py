"""The graphs take several requests at once: each row's answer is the one that it gets alone."""

from __future__ import annotations

import numpy as np
import pytest

from generation.session import Candidates, DecoderSession, EncoderSession
from tests.parity.conftest import Exported

BEAMS, STEPS = 4, 3


def decode(exported: Exported, sources: list[list[int]]) -> list[Candidates]:
    """Take the best `BEAMS` candidates of each request onward, without any rule about ends, for a few steps."""
    bundle = exported.fp32.bundle
    longest = max(map(len, sources))
    ids = np.array([[*source, *[1] * (longest - len(source))] for source in sources])
    mask = np.array([[1] * len(source) + [0] * (longest - len(source)) for source in sources], np.int32)
    decoder = DecoderSession(bundle, threads=1)
    state = decoder.start(EncoderSession(bundle, threads=1).run(ids, mask), mask)
    tokens, beams = np.full((len(sources), 1), 2), np.zeros((len(sources), 1), np.int64)
    sums = np.zeros((len(sources), 1), np.float32)
    made = []
    for _ in range(STEPS):
        candidates = decoder.step(state, tokens, beams, sums, 2 * BEAMS)
        made.append(candidates)
        tokens, beams = candidates.tokens[:, :BEAMS], candidates.beams[:, :BEAMS]
        sums = candidates.sums[:, :BEAMS]
    return made


def test_a_batch_answers_as_its_requests_do_alone(exported: Exported) -> None:
    together = decode(exported, exported.sources)
    for row, source in enumerate(exported.sources):
        for alone, batched in zip(decode(exported, [source]), together, strict=True):
            np.testing.assert_array_equal(batched.tokens[row], alone.tokens[0])
            np.testing.assert_array_equal(batched.beams[row], alone.beams[0])
            np.testing.assert_allclose(batched.sums[row], alone.sums[0], atol=1e-4)
            np.testing.assert_allclose(batched.reject_logprobs[row], alone.reject_logprobs[0], atol=1e-4)


def test_candidates_fall_and_belong_to_open_beams(exported: Exported) -> None:
    for step, candidates in enumerate(decode(exported, exported.sources[:3])):
        assert candidates.sums.shape == candidates.tokens.shape == candidates.beams.shape == (3, 2 * BEAMS)
        assert (np.diff(candidates.sums, axis=1) <= 0).all()
        assert candidates.beams.max() < (BEAMS if step else 1)
        assert candidates.reject_logprobs.shape == (3, BEAMS if step else 1)


@pytest.mark.parametrize("asked", [1, 3, 20])
def test_as_many_candidates_come_as_are_asked_for(exported: Exported, asked: int) -> None:
    bundle = exported.fp32.bundle
    ids, mask = np.array([[0, 9, 2]]), np.ones((1, 3), np.int32)
    decoder = DecoderSession(bundle, threads=1)
    state = decoder.start(EncoderSession(bundle, threads=1).run(ids, mask), mask)
    candidates = decoder.step(state, np.array([[2]]), np.array([[0]]), np.zeros((1, 1), np.float32), asked)
    assert candidates.tokens.shape == (1, asked)
