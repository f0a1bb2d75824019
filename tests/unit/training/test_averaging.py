"""The mean of a foundation and its adaptation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from tokenizers import Tokenizer

from cli.main import main
from evidence.render import RenderBudgets
from training.averaging import average
from training.checkpoint import CheckpointMeta, load_meta, save_checkpoint
from training.config import GenerationDefaults, ModelConfig, ValidationConfig, to_dict
from training.errors import CheckpointError, ConfigError
from training.model import build_model
from training.tokenizer import special_token_ids, train_tokenizer

SMALL = {"encoder_layers": 1, "decoder_layers": 1, "ffn_dim": 64, "attention_heads": 2}
FEW = ValidationConfig(click_examples=6, reject_examples=2)


@pytest.fixture
def checkpoint(tmp_path: Path, tokenizer: Tokenizer) -> Callable[..., Path]:
    def make(name: str, seed: int, words: Tokenizer = tokenizer, **config: int) -> Path:
        torch.manual_seed(seed)
        model = build_model(ModelConfig(**{"d_model": 32, **SMALL, **config}), words)
        generation = to_dict(GenerationDefaults(max_new_tokens=8))
        meta = CheckpointMeta(
            RenderBudgets(), generation, {"threshold": 0.5}, special_token_ids(words), {"stage": "sft", "steps": seed}
        )
        save_checkpoint(tmp_path / name, model, words, meta)
        return tmp_path / name

    return make


def test_every_weight_lies_between_the_two(checkpoint: Any, examples_dir: Path, tmp_path: Path) -> None:
    one, two = checkpoint("one", 1), checkpoint("two", 2)
    average(one, two, tmp_path / "out", [0.25], validate_on=examples_dir, validation=FEW)
    first, second, mean = (load_file(folder / "model.safetensors") for folder in (one, two, tmp_path / "out"))
    for name, value in mean.items():
        torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])


def test_a_foundation_with_fewer_positions_is_given_more(checkpoint: Any, examples_dir: Path, tmp_path: Path) -> None:
    short, long = checkpoint("short", 1, max_positions=128), checkpoint("long", 2)
    average(short, long, tmp_path / "out", [0.5], validate_on=examples_dir, validation=FEW)
    name = "model.encoder.embed_positions.weight"
    first, second, mean = (load_file(folder / "model.safetensors")[name] for folder in (short, long, tmp_path / "out"))
    assert mean.shape == second.shape
    torch.testing.assert_close(mean[: len(first)], (first + second[: len(first)]) / 2)


def test_the_best_share_is_kept_and_recorded(
    checkpoint: Any, examples_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([{"hr@8": 0.2}, {"hr@8": 0.4}, {"hr@8": 0.4}])
    monkeypatch.setattr("training.policy.validate", lambda *_: next(figures))
    one, two = checkpoint("one", 1), checkpoint("two", 2)
    best, measured = average(one, two, tmp_path / "out", [1.0, 0.75, 0.5], validate_on=examples_dir, validation=FEW)
    assert {share: values["hr@8"] for share, values in measured.items()} == {1.0: 0.2, 0.75: 0.4, 0.5: 0.4}
    meta = load_meta(tmp_path / "out")
    assert best == meta.training["share"] == 0.75
    assert meta.training["tried"] == {"1.0": 0.2, "0.75": 0.4, "0.5": 0.4}
    assert (meta.training["foundation"]["steps"], meta.training["adapted"]["steps"]) == (1, 2)
    assert meta.metrics["validation"]["hr@8"] == 0.4


def test_checkpoints_that_do_not_belong_together_are_refused(
    checkpoint: Any, examples_dir: Path, tmp_path: Path
) -> None:
    one, wide = checkpoint("one", 1), checkpoint("wide", 1, d_model=64)
    other = checkpoint("other", 1, words=train_tokenizer(["red shoes", "blue shoes"] * 9, 300))
    with pytest.raises(CheckpointError, match="other shapes"):
        average(one, wide, tmp_path / "out", [0.5], validate_on=examples_dir)
    with pytest.raises(CheckpointError, match="another tokenizer"):
        average(one, other, tmp_path / "out", [0.5], validate_on=examples_dir)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        average(one, one, tmp_path / "out", [1.5], validate_on=examples_dir)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_measured(checkpoint: Any, examples_dir: Path, tmp_path: Path) -> None:
    arguments = [str(checkpoint("one", 1)), str(checkpoint("two", 2)), str(tmp_path / "out")]
    options = ["--validate-on", str(examples_dir), "--share", "0.5"]
    result = CliRunner().invoke(main, ["train", "average", *arguments, *options])
    assert result.exit_code == 0, result.output
    assert "share 0.50: hr@8 " in result.output
    assert f"share 0.50 is in {tmp_path / 'out'}" in result.output
