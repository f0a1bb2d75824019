"""A request's answer is the same alone and in any company, in fp32 and in int8."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from generation.engine import Engine, Hypothesis
from generation.options import GenerationOptions
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

Request = tuple[list[int], GenerationOptions]


def random_requests(vocabulary: int, longest: int) -> list[Request]:
    generator = np.random.default_rng(3)
    return [
        (
            [0, *generator.integers(7, vocabulary, generator.integers(1, longest - 1)).tolist(), 2],
            OPTIONS[generator.integers(len(OPTIONS))],
        )
        for _ in range(REQUESTS)
    ]


def answer_in_company(engine: Engine, requests: Sequence[Request], row_budget: int) -> list[tuple[Hypothesis, ...]]:
    """Submit in bursts of random size, each when some answer of those before has come."""
    generator = np.random.default_rng(5)
    scheduler = Scheduler(engine.bundle, row_budget=row_budget)

    async def submit_all() -> list[tuple[Hypothesis, ...]]:
        tasks: list[asyncio.Task[tuple[Hypothesis, ...]]] = []

        async def submit(request: Request) -> tuple[Hypothesis, ...]:
            return (await scheduler.submit(*request)).hypotheses

        while len(tasks) < len(requests):
            burst = requests[len(tasks) : len(tasks) + int(generator.integers(1, 20))]
            tasks += [asyncio.create_task(submit(request)) for request in burst]
            await asyncio.wait(tasks[-3:], return_when=asyncio.FIRST_COMPLETED)
        return await asyncio.gather(*tasks)

    try:
        answers = asyncio.run(submit_all())
        stats = scheduler.stats()
        assert stats.finished == len(requests)
        assert stats.steps < sum(options.max_new_tokens for _, options in requests) / 2, "they did travel together"
        return answers
    finally:
        scheduler.close()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("row_budget", [40, 160])
def test_two_hundred_requests_answer_as_they_do_alone(exported: Exported, precision: str, row_budget: int) -> None:
    engine: Engine = getattr(exported, precision)
    # The tiny models render 96 tokens at most and can read 128: some requests are in the lanes of the longest.
    requests = random_requests(exported.checkpoint.architecture.vocab_size, longest=128)
    alone = [engine.generate(source, options).hypotheses for source, options in requests]
    together = answer_in_company(engine, requests, row_budget)
    for expected, found in zip(alone, together, strict=True):
        assert [h.token_ids for h in found] == [h.token_ids for h in expected]
        np.testing.assert_allclose([h.score for h in found], [h.score for h in expected], atol=1e-5, rtol=0)
