"""Tiny random BARTs, exported in both precisions, and sources of uneven length."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from transformers import logging

from generation.engine import Engine
from model_export.checkpoint import Checkpoint, load_checkpoint
from model_export.export import export_bundle
from tests.fixtures.tiny_bundle import build_tiny_checkpoint

logging.set_verbosity_error()

# Seeds whose hypotheses have different lengths, some of them the length limit.
MODELS = {
    "plain": {"seed": 1},
    "scaled embedding": {"seed": 0, "end_bias": 4.0, "scale_embedding": True, "init_std": 0.15},
    "uneven stacks": {"seed": 2, "end_bias": 4.0, "encoder_layers": 1, "decoder_layers": 3, "decoder_ffn_dim": 48},
}


@dataclass(frozen=True)
class Exported:
    checkpoint: Checkpoint
    fp32: Engine
    int8: Engine
    sources: list[list[int]]


@pytest.fixture(scope="session", params=list(MODELS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder: Path = tmp_path_factory.mktemp("parity")
    checkpoint = load_checkpoint(build_tiny_checkpoint(folder / "checkpoint", **MODELS[request.param]))
    fp32, int8 = (Engine(export_bundle(checkpoint, folder / name, name)) for name in ("fp32", "int8"))
    generator = np.random.default_rng(7)
    vocabulary = checkpoint.architecture.vocab_size
    sources = [[0, *generator.integers(7, vocabulary, length).tolist(), 2] for length in (3, 94, 17, 58, 1, 40, 25, 71)]
    return Exported(checkpoint, fp32, int8, sources)
