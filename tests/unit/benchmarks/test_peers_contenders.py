"""All contenders are given the same work: in fp32 they answer token for token alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import logging

from benchmarks.peers.contenders import ctranslate2_contender, engine_contender, transformers_contender
from benchmarks.peers.models import convert_for_ctranslate2, random_sources
from generation.engine import Engine
from generation.options import GenerationOptions
from model_export.checkpoint import Checkpoint, load_checkpoint
from model_export.export import export_bundle
from model_export.parity import compare
from tests.fixtures.tiny_bundle import build_tiny_checkpoint

logging.set_verbosity_error()
STEPS = 6
OPTIONS = GenerationOptions(num_beams=4, num_return_sequences=4, min_new_tokens=STEPS - 1, max_new_tokens=STEPS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    # Ends are unlikely here, as in the models that are measured: where one is forbidden, CTranslate2 shares its
    # probability out among the other tokens, and transformers does not.
    return load_checkpoint(build_tiny_checkpoint(tmp_path_factory.mktemp("peers") / "checkpoint", end_bias=0.0))


@pytest.fixture(scope="module")
def sources(checkpoint: Checkpoint) -> list[list[int]]:
    whole = random_sources(6, 40, checkpoint.architecture.vocab_size, checkpoint.special_tokens)
    return [[*source[: 10 + 5 * n], source[-1]] for n, source in enumerate(whole)]


def test_sources_are_of_ordinary_tokens_between_the_start_and_the_end(checkpoint: Checkpoint) -> None:
    specials = checkpoint.special_tokens
    for source in random_sources(3, 96, checkpoint.architecture.vocab_size, specials):
        assert len(source) == 96
        assert (source[0], source[-1]) == (specials.bos, specials.eos)
        assert min(source[1:-1]) > specials.reject


def test_the_engine_answers_as_transformers_does(
    checkpoint: Checkpoint, sources: list[list[int]], tmp_path: Path
) -> None:
    engine = engine_contender("engine", Engine(export_bundle(checkpoint, tmp_path / "fp32", "fp32")), OPTIONS)
    reference = transformers_contender(checkpoint, OPTIONS).hypotheses(sources, 1)
    found = compare(engine.hypotheses(sources, 1), reference)
    assert found.identical_lists == 1.0
    assert {len(h.token_ids) + h.finished for answer in reference for h in answer} == {STEPS}


@pytest.mark.parametrize("at_once", [1, 6])
def test_ctranslate2_answers_as_transformers_does(
    checkpoint: Checkpoint, sources: list[list[int]], tmp_path: Path, at_once: int
) -> None:
    pytest.importorskip("ctranslate2")
    convert_for_ctranslate2(checkpoint.path, tmp_path / "converted")
    peer = ctranslate2_contender(tmp_path / "converted", OPTIONS, checkpoint.special_tokens, "float32")
    reference = transformers_contender(checkpoint, OPTIONS).hypotheses(sources, at_once)
    found = compare(peer.hypotheses(sources, at_once), reference)
    assert found.identical_lists == 1.0
    assert found.max_score_difference < 0.01


def test_a_timed_batch_is_answered_whole(checkpoint: Checkpoint, sources: list[list[int]]) -> None:
    contender = transformers_contender(checkpoint, OPTIONS)
    rows = contender.answer([contender.prepare(source) for source in sources])
    assert isinstance(rows, list)
    assert len(rows) == len(sources) * OPTIONS.num_return_sequences
