"""The pointer of a bundle gives the probabilities of its checkpoint, and the engine's hypotheses are the mixture's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from generation.engine import Engine
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from model_export.checkpoint import Checkpoint, load_checkpoint
from model_export.export import export_bundle
from model_export.pointer import pointer_difference
from tests.fixtures.tiny_bundle import build_tiny_checkpoint
from training.config import GenerationDefaults
from training.mixture import read_pointer
from training.model import encode
from training.validation import generate

OPTIONS = GenerationOptions(length_penalty=0.0, max_new_tokens=10)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("pointer") / "checkpoint"
    return load_checkpoint(build_tiny_checkpoint(folder, seed=4, end_bias=4.0, pointer_hidden=16))


@pytest.fixture(scope="module")
def sources(checkpoint: Checkpoint) -> list[list[int]]:
    """Sources with three to nine entries in three fields, and one without any."""
    random = np.random.default_rng(5)
    sep, between = checkpoint.special_tokens.sep, checkpoint.tokenizer.token_to_id(";")
    made = [[0, 40, 41, sep, sep, sep, sep, 2]]
    for count in range(3, 10):
        source = [0, *random.integers(30, 300, 5).tolist(), sep]
        for number in range(count):
            source.append(sep if number in (0, count // 2, count - 1) else between)
            source += random.integers(30, 300, random.integers(1, 5)).tolist()
        made.append([*source, 2])
    return made


@pytest.fixture(scope="module")
def exact(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(export_bundle(checkpoint, tmp_path_factory.mktemp("bundle") / "fp32", "fp32"))


def test_the_pointer_of_a_bundle_is_that_of_its_checkpoint(
    exact: Engine, checkpoint: Checkpoint, sources: list[list[int]]
) -> None:
    assert 0.0 < pointer_difference(checkpoint, exact.bundle, sources) < 1e-5


def test_an_int8_pointer_reads_rounded_values(
    checkpoint: Checkpoint, sources: list[list[int]], exact: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    near = export_bundle(checkpoint, tmp_path_factory.mktemp("bundle") / "int8", "int8")
    difference = pointer_difference(checkpoint, near, sources)
    assert pointer_difference(checkpoint, exact.bundle, sources) < difference < 0.2


def test_hypotheses_are_those_of_the_mixture(exact: Engine, checkpoint: Checkpoint, sources: list[list[int]]) -> None:
    """The engine stops earlier: what it did not finish generating it knows from the pointer alone."""
    wanted = GenerationDefaults(max_new_tokens=OPTIONS.max_new_tokens)
    overlap = pointed = 0
    for source in sources:
        with torch.inference_mode():
            expected = generate(checkpoint.model, torch.tensor([source]), None, wanted)[0]
        found = exact.generate(GenerationRequest(source, OPTIONS)).hypotheses
        assert [h.sum_logprobs for h in found] == sorted((h.sum_logprobs for h in found), reverse=True)
        overlap += len({h.token_ids for h in found} & {tuple(ids[:-1]) for ids in expected})
        pointed += sum(h.pointed > 0.5 for h in found)
    assert overlap >= 0.9 * 8 * len(sources)
    assert pointed >= len(sources)


def test_entries_answer_a_request_whose_search_was_cut_short(exact: Engine, sources: list[list[int]]) -> None:
    stepper = exact._stepper
    progress = stepper.begin(GenerationRequest(sources[-1], OPTIONS))
    stepper.end(progress)
    assert not progress.search.done
    found = progress.generation(submitted=0.0, began=0.0, encoded=0.0, ended=0.0)
    assert found.deadline_reached
    assert len(found.hypotheses) == 8
    assert {h.token_ids for h in found.hypotheses} <= set(progress.pointed.entries)


def test_the_reject_probability_is_that_of_the_mixture(
    exact: Engine, checkpoint: Checkpoint, sources: list[list[int]]
) -> None:
    start = torch.tensor([[checkpoint.special_tokens.decoder_start]])
    for source in sources:
        with torch.inference_mode():
            ids = torch.tensor([source])
            logits = checkpoint.model(input_ids=ids, decoder_input_ids=start).logits[0, 0]
            pointed = read_pointer(checkpoint.model, ids, None, encode(checkpoint.model, ids, None))
        assert pointed is not None
        expected = torch.softmax(logits, dim=-1)[checkpoint.special_tokens.reject] * pointed.generate[0].exp()
        found = exact.generate(GenerationRequest(source, OPTIONS)).reject_probability
        assert found == pytest.approx(float(expected), rel=1e-3)
