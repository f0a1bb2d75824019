"""Calibration of the choice between composing and pointing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from cli.main import main
from training.calibration import calibrate
from training.checkpoint import load_checkpoint, load_meta
from training.config import ValidationConfig
from training.errors import CheckpointError, ConfigError
from training.mixture import read_pointer
from training.model import encode

FEW = ValidationConfig(click_examples=6, reject_examples=2)


def generate_log_odds(folder: Path, text: str) -> float:
    """Return the log-odds of generating for a source with one history."""
    checkpoint = load_checkpoint(folder)
    words = checkpoint.tokenizer.encode(text, add_special_tokens=False).ids
    source = torch.tensor([[0, *words, 5, 5, 5, *words, 5, 2]])
    with torch.no_grad():
        pointed = read_pointer(checkpoint.model, source, None, encode(checkpoint.model, source, None))
    assert pointed is not None
    return torch.logit(pointed.generate.exp()).item()


def test_a_shift_moves_the_log_odds_and_no_other_weight(
    make_checkpoint: Any, examples_dir: Path, tmp_path: Path
) -> None:
    one, out = make_checkpoint("one", 1), tmp_path / "out"
    calibrate(one, out, [-1.5], validate_on=examples_dir, validation=FEW)
    moved = generate_log_odds(out, "power bank") - generate_log_odds(one, "power bank")
    assert moved == pytest.approx(-1.5, abs=1e-3)
    before, after = (load_file(folder / "model.safetensors") for folder in (one, out))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"pointer.generate.bias"}


def test_the_best_shift_is_kept_and_recorded(
    make_checkpoint: Any, examples_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([{"hr@8": 0.2}, {"hr@8": 0.4}, {"hr@8": 0.4}])
    monkeypatch.setattr("training.policy.validate", lambda *_: next(figures))
    out = tmp_path / "out"
    best, measured = calibrate(
        make_checkpoint("one", 1), out, [0.0, -1.0, -2.0], validate_on=examples_dir, validation=FEW
    )
    assert {shift: values["hr@8"] for shift, values in measured.items()} == {0.0: 0.2, -1.0: 0.4, -2.0: 0.4}
    meta = load_meta(out)
    assert best == meta.training["shift"] == -1.0
    assert meta.training["tried"] == {"0.0": 0.2, "-1.0": 0.4, "-2.0": 0.4}
    assert meta.training["calibrated"]["steps"] == 1
    assert meta.metrics["validation"]["hr@8"] == 0.4
    assert generate_log_odds(out, "kettle") < generate_log_odds(tmp_path / "one", "kettle")


def test_a_checkpoint_without_the_choice_is_refused(make_checkpoint: Any, examples_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no pointer"):
        calibrate(make_checkpoint("plain", 1, pointer_hidden=0), tmp_path / "out", [0.0], validate_on=examples_dir)
    with pytest.raises(ConfigError, match="give a shift"):
        calibrate(make_checkpoint("one", 1), tmp_path / "out", [], validate_on=examples_dir)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_measured(make_checkpoint: Any, examples_dir: Path, tmp_path: Path) -> None:
    arguments = [str(make_checkpoint("one", 1)), str(tmp_path / "out"), "--validate-on", str(examples_dir)]
    result = CliRunner().invoke(main, ["train", "calibrate", *arguments, "--shift", "-0.5"])
    assert result.exit_code == 0, result.output
    assert "shift -0.50: hr@8 " in result.output
    assert f"shift -0.50 is in {tmp_path / 'out'}" in result.output
