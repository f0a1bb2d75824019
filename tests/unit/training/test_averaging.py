"""The mean of a foundation and its adaptation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from cli.main import main
from training.averaging import average
from training.checkpoint import load_meta
from training.config import ValidationConfig
from training.errors import CheckpointError, ConfigError
from training.tokenizer import train_tokenizer

FEW = ValidationConfig(click_examples=6, reject_examples=2)


def test_every_weight_lies_between_the_two(make_checkpoint: Any, examples_dir: Path, tmp_path: Path) -> None:
    one, two = make_checkpoint("one", 1), make_checkpoint("two", 2)
    average(one, two, tmp_path / "out", [0.25], validate_on=examples_dir, validation=FEW)
    first, second, mean = (load_file(folder / "model.safetensors") for folder in (one, two, tmp_path / "out"))
    for name, value in mean.items():
        torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])


def test_a_foundation_with_fewer_positions_is_given_more(
    make_checkpoint: Any, examples_dir: Path, tmp_path: Path
) -> None:
    short, long = make_checkpoint("short", 1, max_positions=128), make_checkpoint("long", 2)
    average(short, long, tmp_path / "out", [0.5], validate_on=examples_dir, validation=FEW)
    name = "model.encoder.embed_positions.weight"
    first, second, mean = (load_file(folder / "model.safetensors")[name] for folder in (short, long, tmp_path / "out"))
    assert mean.shape == second.shape
    torch.testing.assert_close(mean[: len(first)], (first + second[: len(first)]) / 2)


def test_the_best_share_is_kept_and_recorded(
    make_checkpoint: Any, examples_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([{"hr@8": 0.2}, {"hr@8": 0.4}, {"hr@8": 0.4}])
    monkeypatch.setattr("training.policy.validate", lambda *_: next(figures))
    one, two = make_checkpoint("one", 1), make_checkpoint("two", 2)
    best, measured = average(one, two, tmp_path / "out", [1.0, 0.75, 0.5], validate_on=examples_dir, validation=FEW)
    assert {share: values["hr@8"] for share, values in measured.items()} == {1.0: 0.2, 0.75: 0.4, 0.5: 0.4}
    meta = load_meta(tmp_path / "out")
    assert best == meta.training["share"] == 0.75
    assert meta.training["tried"] == {"1.0": 0.2, "0.75": 0.4, "0.5": 0.4}
    assert (meta.training["foundation"]["steps"], meta.training["adapted"]["steps"]) == (1, 2)
    assert meta.metrics["validation"]["hr@8"] == 0.4


def test_checkpoints_that_do_not_belong_together_are_refused(
    make_checkpoint: Any, examples_dir: Path, tmp_path: Path
) -> None:
    one, wide = make_checkpoint("one", 1), make_checkpoint("wide", 1, d_model=64)
    other = make_checkpoint("other", 1, words=train_tokenizer(["red shoes", "blue shoes"] * 9, 300))
    with pytest.raises(CheckpointError, match="other shapes"):
        average(one, wide, tmp_path / "out", [0.5], validate_on=examples_dir)
    with pytest.raises(CheckpointError, match="another tokenizer"):
        average(one, other, tmp_path / "out", [0.5], validate_on=examples_dir)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        average(one, one, tmp_path / "out", [1.5], validate_on=examples_dir)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_measured(make_checkpoint: Any, examples_dir: Path, tmp_path: Path) -> None:
    arguments = [str(make_checkpoint("one", 1)), str(make_checkpoint("two", 2)), str(tmp_path / "out")]
    options = ["--validate-on", str(examples_dir), "--share", "0.5"]
    result = CliRunner().invoke(main, ["train", "average", *arguments, *options])
    assert result.exit_code == 0, result.output
    assert "share 0.50: hr@8 " in result.output
    assert f"share 0.50 is in {tmp_path / 'out'}" in result.output
