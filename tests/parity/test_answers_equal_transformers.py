"""fp32 graphs and our beam search give the same eight answers as `generate` of transformers and of optimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from generation.options import EarlyStopping, GenerationOptions
from generation.request import GenerationRequest
from model_export.parity import engine_answers, reference_answers
from model_export.verify import check_parity, measure_parity
from tests.parity.conftest import Exported


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
@pytest.mark.parametrize("length_penalty", [0.6, 1.0, 2.0])
@pytest.mark.parametrize(("shortest", "longest"), [(0, 4), (1, 10), (4, 12)])
def test_eight_hypotheses_are_token_identical(
    exported: Exported, early_stopping: EarlyStopping, length_penalty: float, shortest: int, longest: int
) -> None:
    options = GenerationOptions(
        early_stopping=early_stopping,
        length_penalty=length_penalty,
        min_new_tokens=shortest,
        max_new_tokens=longest,
    )
    specials = exported.checkpoint.special_tokens
    expected = reference_answers(exported.checkpoint.model, exported.sources, options, specials)
    found = engine_answers(exported.fp32, exported.sources, options)
    for answer, reference in zip(found, expected, strict=True):
        assert [h.token_ids for h in answer] == [h.token_ids for h in reference]
        assert [h.finished for h in answer] == [h.finished for h in reference]
        np.testing.assert_allclose([h.score for h in answer], [h.score for h in reference], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("num_beams", "returned"), [(2, 1), (5, 3)])
def test_hypotheses_of_narrower_searches_are_token_identical(exported: Exported, num_beams: int, returned: int) -> None:
    options = GenerationOptions(num_beams=num_beams, num_return_sequences=returned, max_new_tokens=8)
    expected = reference_answers(
        exported.checkpoint.model, exported.sources, options, exported.checkpoint.special_tokens
    )
    found = engine_answers(exported.fp32, exported.sources, options)
    assert [[h.token_ids for h in answer] for answer in found] == [[h.token_ids for h in each] for each in expected]


@pytest.mark.parametrize("size", [2, 3])
def test_hypotheses_without_repeated_ngrams_are_token_identical(exported: Exported, size: int) -> None:
    options = GenerationOptions(no_repeat_ngram_size=size, max_new_tokens=12)
    specials = exported.checkpoint.special_tokens
    expected = reference_answers(exported.checkpoint.model, exported.sources, options, specials)
    found = engine_answers(exported.fp32, exported.sources, options)
    assert [[h.token_ids for h in answer] for answer in found] == [[h.token_ids for h in each] for each in expected]
    free = engine_answers(exported.fp32, exported.sources, replace(options, no_repeat_ngram_size=0))
    assert found != free


def test_the_hypotheses_of_these_models_have_many_lengths(exported: Exported) -> None:
    options = GenerationOptions(max_new_tokens=10)
    lengths = {
        len(hypothesis.token_ids)
        for answer in engine_answers(exported.fp32, exported.sources, options)
        for hypothesis in answer
    }
    assert len(lengths) >= 5


def test_the_reject_probability_is_that_of_the_first_step(exported: Exported) -> None:
    checkpoint = exported.checkpoint
    start = torch.tensor([[checkpoint.special_tokens.decoder_start]])
    for source in exported.sources:
        with torch.inference_mode():
            logits = checkpoint.model(input_ids=torch.tensor([source]), decoder_input_ids=start).logits[0, 0]
        expected = torch.softmax(logits, dim=-1)[checkpoint.special_tokens.reject].item()
        assert exported.fp32.generate(
            GenerationRequest(source, checkpoint.generation)
        ).reject_probability == pytest.approx(expected, rel=1e-3)


@pytest.mark.filterwarnings("ignore")  # the tracer of torch, which optimum exports with, warns
def test_hypotheses_of_optimum_are_token_identical(exported: Exported) -> None:
    report = measure_parity(exported.checkpoint, exported.int8.bundle, exported.sources)
    check_parity(report)
    assert report["inputs"] == len(exported.sources)
    assert report["fp32_vs_optimum"]["identical_lists"] == 1.0
    assert 0.0 < report["int8_vs_fp32"]["mean_overlap"] <= 1.0


def test_int8_scores_are_close_to_fp32_scores(exported: Exported) -> None:
    """Random weights have no margins between tokens, so lists differ; hypotheses in both have similar scores."""
    options = replace(exported.checkpoint.generation, max_new_tokens=10)
    exact = engine_answers(exported.fp32, exported.sources, options)
    near = engine_answers(exported.int8, exported.sources, options)
    for answer, reference in zip(near, exact, strict=True):
        scores = {h.token_ids: h.score for h in reference}
        shared = [h for h in answer if h.token_ids in scores]
        assert shared
        assert max(abs(h.score - scores[h.token_ids]) for h in shared) < 0.5
