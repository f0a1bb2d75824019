"""A request has the same answer alone and stepped together with others, in fp32 and in int8."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from generation.engine import Engine, Hypothesis
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.scheduler import Scheduler
from tests.parity.conftest import Exported

REQUESTS = 200
OPTIONS = (
    GenerationOptions(max_new_tokens=10),
    GenerationOptions(max_new_tokens=10, length_penalty=0.6, early_stopping=True),
    GenerationOptions(max_new_tokens=12, min_new_tokens=4),
    GenerationOptions(num_beams=4, num_return_sequences=3, max_new_tokens=6, early_stopping="never"),
    GenerationOptions(max_new_tokens=9, no_repeat_ngram_size=2),
    GenerationOptions(num_beams=1, num_return_sequences=1, max_new_tokens=5),
)


def random_requests(vocabulary: int, longest: int) -> list[GenerationRequest]:
    generator = np.random.default_rng(3)
    return [
        GenerationRequest(
            [0, *generator.integers(7, vocabulary, generator.integers(1, longest - 1)).tolist(), 2],
            OPTIONS[generator.integers(len(OPTIONS))],
        )
        for _ in range(REQUESTS)
    ]


def answer_together(
    engine: Engine, requests: Sequence[GenerationRequest], row_budget: int
) -> list[tuple[Hypothesis, ...]]:
    """Submit in bursts of random size; each burst waits for an answer of the earlier bursts."""
    generator = np.random.default_rng(5)
    scheduler = Scheduler(engine.bundle, row_budget=row_budget)

    async def submit_all() -> list[tuple[Hypothesis, ...]]:
        tasks: list[asyncio.Task[tuple[Hypothesis, ...]]] = []

        async def submit(request: GenerationRequest) -> tuple[Hypothesis, ...]:
            return (await scheduler.submit(request)).hypotheses

        while len(tasks) < len(requests):
            burst = requests[len(tasks) : len(tasks) + int(generator.integers(1, 20))]
            tasks += [asyncio.create_task(submit(request)) for request in burst]
            await asyncio.wait(tasks[-3:], return_when=asyncio.FIRST_COMPLETED)
        return await asyncio.gather(*tasks)

    try:
        answers = asyncio.run(submit_all())
        stats = scheduler.stats()
        assert stats.finished == len(requests)
        assert stats.steps < sum(request.options.max_new_tokens for request in requests) / 2, (
            "requests were not stepped together"
        )
        return answers
    finally:
        scheduler.close()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("row_budget", [40, 160])
def test_two_hundred_requests_have_the_same_answers_as_alone(
    exported: Exported, precision: str, row_budget: int
) -> None:
    engine: Engine = getattr(exported, precision)
    # The tiny models render 96 tokens at most and can read 128: some requests are in the lane for longer sources.
    requests = random_requests(exported.checkpoint.architecture.vocab_size, longest=128)
    alone = [engine.generate(request).hypotheses for request in requests]
    together = answer_together(engine, requests, row_budget)
    for expected, found in zip(alone, together, strict=True):
        assert [h.token_ids for h in found] == [h.token_ids for h in expected]
        np.testing.assert_allclose([h.score for h in found], [h.score for h in expected], atol=1e-5, rtol=0)
