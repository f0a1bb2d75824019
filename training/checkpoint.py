"""The checkpoint folder: training writes it; export and evaluation read it through this module.

config.json             transformers' BartConfig
model.safetensors       weights of Generator
generation_config.json  transformers' GenerationConfig
tokenizer.json          the tokenizer that the weights were trained with
onebar.json             render budgets, generation defaults, [REJECT] threshold, special-token ids, training record

transformers and torch are imported only where weights are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from evidence.errors import RenderError
from evidence.render import RenderBudgets
from evidence.tokens import special_token_ids
from training.errors import CheckpointError

if TYPE_CHECKING:
    from training.generator import Generator

__all__ = [
    "CONFIG_FILE", "GENERATION_SETTINGS", "META_FILE", "METRICS_FILE", "STATE_FILE", "TOKENIZER_FILE", "Checkpoint",
    "CheckpointError", "CheckpointMeta", "load_checkpoint", "load_meta", "load_weights", "save_checkpoint",
    "write_json",
]  # fmt: skip

CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
META_FILE = "onebar.json"

STATE_FILE = "training_state.pt"
"""What `--resume` reads, in the same folder."""

METRICS_FILE = "metrics.jsonl"
"""What a run has logged, in the same folder."""

GENERATION_SETTINGS = ("num_beams", "length_penalty", "early_stopping", "max_new_tokens", "min_new_tokens")
"""What a checkpoint has of the settings of beam search: the fields of `training.config.GenerationDefaults`."""


@dataclass(frozen=True, slots=True)
class CheckpointMeta:
    """The content of onebar.json.

    Attributes:
        render: budgets of evidence.render.
        generation: defaults of beam search.
        reject: {"threshold": P([REJECT]) from which to abstain}.
        special_tokens: name to id, see evidence.tokens.
        training: stage, configuration, steps, samples, seconds, data hashes.
        metrics: measured on the validation day.
    """

    render: RenderBudgets
    generation: Mapping[str, Any]
    reject: Mapping[str, float]
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reject_threshold(self) -> float:
        """P([REJECT]) as the first token, from which the model abstains."""
        return self.reject["threshold"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory; the model is in evaluation mode, fp32, on the CPU."""

    model: Generator
    tokenizer: Tokenizer
    meta: CheckpointMeta


def save_checkpoint(folder: Path | str, model: Generator, tokenizer: Tokenizer, meta: CheckpointMeta) -> None:
    """Write a checkpoint. onebar.json comes last and in one rename, so a folder that has it is complete."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META_FILE).unlink(missing_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    write_json(folder / META_FILE, asdict(meta))


def load_meta(folder: Path | str) -> CheckpointMeta:
    """Read onebar.json alone, without weights.

    Raises:
        CheckpointError: it is missing, unreadable, or lacks a required part.
    """
    path = Path(folder) / META_FILE
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; train a checkpoint with `onebar train sft`")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        required = [f.name for f in fields(CheckpointMeta) if f.default_factory is MISSING]
        missing = [name for name in required if name not in values]
        if missing:
            raise CheckpointError(f"{path} has no {missing[0]!r}; train the checkpoint again with this version")
        given = {f.name: values[f.name] for f in fields(CheckpointMeta) if f.name in values}
        threshold = float(values["reject"]["threshold"])
        return CheckpointMeta(
            **{**given, "render": RenderBudgets.from_dict(values["render"]), "reject": {"threshold": threshold}}
        )
    except (ValueError, TypeError, KeyError, RenderError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}") from error


def load_checkpoint(folder: Path | str) -> Checkpoint:
    """Read a checkpoint that `save_checkpoint` wrote.

    Raises:
        CheckpointError: a file is missing or unreadable, or the tokenizer is not the one of onebar.json.
    """
    folder = Path(folder)
    for name in (CONFIG_FILE, TOKENIZER_FILE, META_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing; give a folder that `onebar train` wrote")
    meta = load_meta(folder)
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"{folder / TOKENIZER_FILE} cannot be read: {error}") from error
    try:
        special = special_token_ids(tokenizer)
    except RenderError as error:
        raise CheckpointError(f"{folder / TOKENIZER_FILE}: {error}") from error
    if meta.special_tokens and dict(meta.special_tokens) != special:
        raise CheckpointError(
            f"{folder} has a tokenizer with the special tokens {special}, and {META_FILE} records "
            f"{dict(meta.special_tokens)}; the files are of different checkpoints"
        )
    return Checkpoint(load_weights(folder), tokenizer, meta)


def load_weights(folder: Path | str) -> Generator:
    """Read a BART in transformers' format from a local folder, in fp32.

    Raises:
        CheckpointError: the folder has no BART.
    """
    import torch

    from training.generator import Generator

    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}; give the folder of a local BART checkpoint")
    try:
        model: Generator = Generator.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder} cannot be read as a BART checkpoint: {error}") from error
    return model


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON in one rename: a reader sees the old file or the new one."""
    unfinished = path.with_name(path.name + ".partial")
    unfinished.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
