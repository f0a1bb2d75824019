"""A step on several accumulated batches is a step on one large batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.training.short_run import run
from training.errors import ConfigError, DataError


def test_two_batches_are_one_of_twice_the_size(examples_dir: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    large = run(examples_dir, tokenizer_file, tmp_path / "large", batch_size=16)
    accumulated = run(examples_dir, tokenizer_file, tmp_path / "small", batch_size=8, accumulate_steps=2)
    # Five steps of three an epoch. The batches of a step have different numbers of target tokens.
    assert [record["step"] for record in accumulated] == [1, 2, 3, 4, 5]
    for one, two in zip(large, accumulated, strict=True):
        for name in ("samples", "loss", "accuracy", "grad_norm"):
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=2e-5), (one["step"], name)


def test_a_step_that_needs_more_batches_than_there_are_is_refused(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="an epoch has 3 batches, and one step needs 4"):
        run(examples_dir, tokenizer_file, tmp_path / "out", batch_size=16, accumulate_steps=4)
    with pytest.raises(ConfigError, match=r"optim\.accumulate_steps must be over 0"):
        run(examples_dir, tokenizer_file, tmp_path / "out", batch_size=16, accumulate_steps=0)
