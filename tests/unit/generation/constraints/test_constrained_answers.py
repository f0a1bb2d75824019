"""Whole answers under constraints: those of transformers under the same masks, alone and among others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import logging

from evidence.safety import ProhibitedTerms
from generation.bundle import Bundle
from generation.constraints.prohibited import ProhibitedPhrases
from generation.constraints.query_file import load_query_set
from generation.constraints.query_set import QuerySet
from generation.engine import Engine
from generation.logits_processors import LogitsProcessor
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.scheduler import Scheduler
from model_export.checkpoint import Checkpoint, load_checkpoint
from model_export.export import export_bundle
from model_export.parity import Answers, reference_answers
from tests.fixtures.tiny_bundle import build_tiny_checkpoint
from tests.unit.generation.constraints.permitted import permitted, restriction

logging.set_verbosity_error()

OPTIONS = GenerationOptions(max_new_tokens=10)
END_BIAS = 3.0
FIRST_MERGE = 263  # behind the special tokens and one for each byte
NEVER = -1e6  # transformers scores beams that are no more with less than this


@dataclass(frozen=True)
class Tiny:
    checkpoint: Checkpoint
    engine: Engine
    sources: list[list[int]]

    @property
    def bundle(self) -> Bundle:
        return self.engine.bundle

    def answers(self, processors: Sequence[LogitsProcessor], options: GenerationOptions = OPTIONS) -> Answers:
        requests = [GenerationRequest(source, options, processors=processors) for source in self.sources]
        return [self.engine.generate(request).hypotheses for request in requests]

    def reference(
        self,
        processors: Sequence[LogitsProcessor],
        monkeypatch: pytest.MonkeyPatch,
        options: GenerationOptions = OPTIONS,
    ) -> Answers:
        model, size = self.checkpoint.model, self.bundle.architecture.vocab_size

        def allowed(_: int, tokens: torch.Tensor) -> list[int]:
            return permitted(processors, tuple(tokens.tolist()[1:]), size) or [self.bundle.special_tokens.pad]

        with monkeypatch.context() as patch:
            patch.setattr(model, "generate", partial(model.generate, prefix_allowed_tokens_fn=allowed))
            made = reference_answers(model, self.sources, options, self.checkpoint.special_tokens, quiet=True)
        return [tuple(h for h in answer if h.score > NEVER) for answer in made]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder: Path = tmp_path_factory.mktemp("constrained")
    checkpoint = load_checkpoint(build_tiny_checkpoint(folder / "checkpoint", seed=1))
    checkpoint.model.final_logits_bias[0, FIRST_MERGE:] += 4.0  # words, where a random model would write loose bytes
    checkpoint.model.final_logits_bias[0, checkpoint.special_tokens.eos] += END_BIAS
    generator = np.random.default_rng(7)
    vocabulary = checkpoint.architecture.vocab_size
    sources = [[0, *generator.integers(7, vocabulary, length).tolist(), 2] for length in (3, 94, 17, 58, 1, 40)]
    return Tiny(checkpoint, Engine(export_bundle(checkpoint, folder / "fp32", "fp32")), sources)


@pytest.fixture(scope="module")
def words(tiny: Tiny) -> list[str]:
    """What the model likes to write, so that forbidding it tells."""
    texts = [tiny.bundle.decode(h.token_ids) for answer in tiny.answers(()) for h in answer]
    return sorted({word for text in texts for word in text.split() if any(c.isalnum() for c in word)})


@pytest.fixture(scope="module")
def terms(words: list[str]) -> list[tuple[str, str]]:
    return [("category", word) for word in words[::2]]


@pytest.fixture(scope="module")
def query_set(tiny: Tiny, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> QuerySet:
    path = tmp_path_factory.mktemp("queries") / "queries.txt"
    generator = np.random.default_rng(3)
    lines = words + [" ".join(generator.choice(words, size)) for size in (2, 2, 3, 3) for _ in range(50)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return load_query_set(path, tiny.bundle, OPTIONS.max_new_tokens)


def same(found: Answers, expected: Answers) -> None:
    for answer, reference in zip(found, expected, strict=True):
        assert [h.token_ids for h in answer] == [h.token_ids for h in reference]
        np.testing.assert_allclose([h.score for h in answer], [h.score for h in reference], atol=1e-4, rtol=0)


def test_safe_alternatives_take_the_place_of_prohibited_texts(
    tiny: Tiny, terms: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    phrases, whole = ProhibitedPhrases.of_bundle(terms, tiny.bundle), ProhibitedTerms(terms)
    free, safe = tiny.answers(()), tiny.answers((phrases,))

    def prohibited(answers: Answers) -> int:
        return sum(whole.find(tiny.bundle.decode(h.token_ids)) is not None for a in answers for h in a if h.finished)

    assert prohibited(free) > 10
    assert prohibited(safe) == 0
    assert [len(answer) for answer in safe] == [8] * len(tiny.sources)
    same(safe, tiny.reference((phrases,), monkeypatch))


def test_under_a_set_only_its_queries_are_written(
    tiny: Tiny, query_set: QuerySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    confined = tiny.answers((query_set,))
    same(confined, tiny.reference((query_set,), monkeypatch))
    lengths = {len(h.token_ids) for answer in confined for h in answer}
    assert len(lengths) > 2
    for answer in confined:
        for hypothesis in answer:
            assert tiny.bundle.special_tokens.eos in restriction(query_set, hypothesis.token_ids).token_ids


def test_all_constraints_hold_together(
    tiny: Tiny, query_set: QuerySet, terms: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    phrases = ProhibitedPhrases.of_bundle(terms[:3], tiny.bundle)
    options = GenerationOptions(max_new_tokens=10, min_new_tokens=3, no_repeat_ngram_size=2)
    for processors in ((query_set, phrases), (phrases, query_set), (phrases,)):
        same(tiny.answers(processors, options), tiny.reference(processors, monkeypatch, options))


def test_a_set_of_fewer_queries_than_beams_gives_them_all(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text("red shoes\nred\ncheap camera lens", encoding="utf-8")
    query_set = load_query_set(tmp_path / "queries.txt", tiny.bundle, 16)
    options = GenerationOptions(max_new_tokens=16, early_stopping="never")
    for answer in tiny.answers((query_set,), options):
        texts = [tiny.bundle.decode(h.token_ids) for h in answer if not tiny.bundle.is_reject(h)]
        assert sorted(texts) == ["cheap camera lens", "red", "red shoes"]
        assert any(tiny.bundle.is_reject(h) for h in answer)


async def test_constrained_requests_answer_among_others_as_they_do_alone(
    tiny: Tiny, query_set: QuerySet, terms: list[tuple[str, str]]
) -> None:
    phrases = ProhibitedPhrases.of_bundle(terms, tiny.bundle)
    kinds: list[tuple[LogitsProcessor, ...]] = [(), (phrases,), (query_set,), (query_set, phrases)]
    alone = {kind: tiny.answers(kind) for kind in kinds}
    scheduler = Scheduler(tiny.bundle)
    try:
        together = await asyncio.gather(
            *(
                scheduler.submit(GenerationRequest(source, OPTIONS, processors=kind))
                for kind in kinds
                for source in tiny.sources
            )
        )
    finally:
        scheduler.close()
    expected = [answer for kind in kinds for answer in alone[kind]]
    for generation, answer in zip(together, expected, strict=True):
        assert [h.token_ids for h in generation.hypotheses] == [h.token_ids for h in answer]
        np.testing.assert_allclose([h.score for h in generation.hypotheses], [h.score for h in answer], atol=1e-5)
