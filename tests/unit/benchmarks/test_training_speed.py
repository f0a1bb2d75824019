from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.training_speed import (
    COMPARED_WITH,
    DEFAULT,
    VARIANTS,
    Variant,
    build_model,
    main,
    make_step,
    random_batch,
)
from training.batches import IGNORED_LABEL


def test_a_source_is_padded_to_the_multiple_and_masked() -> None:
    batch = random_batch(np.random.default_rng(0), 400, 3, length=65, multiple=8, target_tokens=8)
    assert batch.source.shape == (3, 72)
    assert batch.source_mask is not None
    assert batch.source_mask.sum(dim=1).tolist() == [65] * 3
    assert random_batch(np.random.default_rng(0), 400, 3, length=64, multiple=8, target_tokens=8).source_mask is None


def test_the_first_target_is_the_longest() -> None:
    batch = random_batch(np.random.default_rng(0), 400, 16, length=64, multiple=1, target_tokens=8)
    lengths = (batch.labels != IGNORED_LABEL).sum(dim=1)
    assert int(lengths[0]) == 8
    assert int(lengths.min()) >= 2


@pytest.mark.parametrize("precision", ["autocast", "weights", "fp32"])
def test_every_precision_learns_a_batch(precision: str) -> None:
    torch.set_num_threads(1)
    variant = Variant(precision=precision, batch_size=4)  # type: ignore[arg-type]
    model = build_model(variant, "tiny", seed=0)
    step = make_step(model, variant)
    batch = random_batch(np.random.default_rng(0), 400, 4, length=64, multiple=1, target_tokens=8)
    losses = [step(batch) for _ in range(20)]
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0] - 0.5
    wanted = torch.bfloat16 if precision == "weights" else torch.float32
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}


def test_the_result_has_a_ratio_for_each_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        monkeypatch.setenv(name, "128")
    output = tmp_path / "speed.json"
    names = (DEFAULT, "many lengths", "many lengths, padded to 8")
    chosen = [argument for name in names for argument in ("--variant", name)]
    CliRunner().invoke(
        main, ["--rounds", "1", "--size", "tiny", *chosen, "--output", str(output)], catch_exceptions=False
    )
    variants = json.loads(output.read_text())["variants"]
    assert list(variants) == list(names)
    assert variants[DEFAULT]["ratio"]["median"] == 1.0
    assert variants["many lengths, padded to 8"]["compared_with"] == "many lengths"


def test_a_variant_is_compared_with_one_that_exists() -> None:
    assert set(COMPARED_WITH) | set(COMPARED_WITH.values()) <= set(VARIANTS)
