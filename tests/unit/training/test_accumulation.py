"""A step on several accumulated batches is a step on one large batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.config import SftConfig, from_dict
from training.errors import ConfigError, DataError
from training.sft import finetune

MODEL = {
    "encoder_layers": 1, "decoder_layers": 1, "d_model": 32, "ffn_dim": 64, "attention_heads": 2, "dropout": 0.0,
}  # fmt: skip


def run(examples: Path, tokenizer: Path, out: Path, **optim: Any) -> list[dict[str, float]]:
    values = {
        "model": MODEL,
        "runtime": {"device": "cpu", "precision": "fp32", "log_every_steps": 1},
        "optim": {"learning_rate": 3e-3, "warmup_steps": 0, "epochs": 1000, "max_steps": 5, **optim},
        "validation": {"every_steps": 100, "click_examples": 4, "reject_examples": 2},
        "generation": {"max_new_tokens": 12},
        "targets_per_source": 1,
    }
    cache = examples / ".packed"
    finetune([examples], out, from_dict(SftConfig, values), tokenizer=tokenizer, init_from=None, cache=cache)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if "loss" in record]


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
    with pytest.raises(ConfigError, match="accumulate_steps must be at least 1"):
        run(examples_dir, tokenizer_file, tmp_path / "out", batch_size=16, accumulate_steps=0)
