from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from model_export.checkpoint import load_checkpoint
from model_export.errors import CheckpointError
from tests.fixtures.tiny_bundle import build_tiny_checkpoint


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def copy(checkpoint_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint_path, tmp_path / "checkpoint"))


def test_a_checkpoint_of_training_is_read(checkpoint_path: Path) -> None:
    checkpoint = load_checkpoint(checkpoint_path)
    assert checkpoint.architecture.vocab_size == checkpoint.tokenizer.get_vocab_size()
    assert (checkpoint.special_tokens.sep, checkpoint.special_tokens.reject) == (5, 6)
    assert checkpoint.generation.max_new_tokens == 10
    assert checkpoint.reject_threshold == 0.5
    assert checkpoint.embedding_scale == 1.0


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "onebar.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_checkpoint(copy)


def test_missing_weights_are_an_error(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(copy)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"activation_function": "relu"}, "activation_function"),
        ({"decoder_attention_heads": 2}, "decoder_attention_heads"),
        ({"max_position_embeddings": 64}, "64 positions"),
        ({"decoder_start_token_id": None}, "decoder_start_token_id"),
    ],
)
def test_what_the_graphs_do_not_implement_is_refused(tmp_path: Path, config: dict[str, Any], named: str) -> None:
    path = build_tiny_checkpoint(tmp_path / "checkpoint", **{k: v for k, v in config.items() if v is not None})
    edit(path / "config.json", **config)
    with pytest.raises(CheckpointError, match=named):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "changes",
    [{"render": {"text": 1}}, {"generation": {"num_beams": 0}}, {"reject": {}}, {"reject": {"threshold": "x"}}],
)
def test_an_invalid_record_is_refused(copy: Path, changes: dict[str, Any]) -> None:
    edit(copy / "onebar.json", **changes)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(copy)


def test_a_tokenizer_of_another_checkpoint_is_refused(copy: Path) -> None:
    edit(copy / "onebar.json", special_tokens={"bos": 0, "eos": 1})
    with pytest.raises(CheckpointError, match="different checkpoints"):
        load_checkpoint(copy)


def test_a_tokenizer_of_another_model_is_refused(copy: Path) -> None:
    edit(copy / "config.json", eos_token_id=3)
    with pytest.raises(CheckpointError, match="eos_token_id is 3 and the tokenizer has 2"):
        load_checkpoint(copy)
