"""The checkpoint folder: what training writes, and what export and evaluation read.

config.json         transformers' BartConfig
model.safetensors   weights of BartForConditionalGeneration
generation_config.json
tokenizer.json      the tokenizer that the weights were trained with
onebar.json         everything else: render budgets, generation defaults, special tokens, how it was trained
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import BartForConditionalGeneration

from evidence.errors import RenderError
from evidence.render import RenderBudgets
from training.errors import CheckpointError
from training.model import load_model

META_FILE = "onebar.json"


@dataclass(frozen=True, slots=True)
class CheckpointMeta:
    """What onebar.json holds.

    render: budgets of evidence.render · generation: defaults for beam search · reject: {"threshold": P([REJECT]) from
    which to abstain} · special_tokens: name to id · training: config, stage, steps, samples, seconds, data hashes ·
    metrics: measured on the validation day.
    """

    render: RenderBudgets
    generation: Mapping[str, Any]
    reject: Mapping[str, float]
    special_tokens: Mapping[str, int]
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory."""

    model: BartForConditionalGeneration
    tokenizer: Tokenizer
    meta: CheckpointMeta


def save_checkpoint(
    folder: Path | str, model: BartForConditionalGeneration, tokenizer: Tokenizer, meta: CheckpointMeta
) -> None:
    """Write a checkpoint; onebar.json comes last and in one move, so a folder that has it is whole."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META_FILE).unlink(missing_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / META_FILE, asdict(meta))


def load_meta(folder: Path | str) -> CheckpointMeta:
    """Read onebar.json alone, without torch weights.

    Raises:
        CheckpointError: it is missing, unreadable, or lacks a part.
    """
    path = Path(folder) / META_FILE
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; train a checkpoint with `onebar train sft`")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        missing = [f.name for f in fields(CheckpointMeta) if f.name not in values]
        if missing:
            raise CheckpointError(f"{path} has no {missing[0]!r}; train the checkpoint again with this version")
        return CheckpointMeta(
            render=RenderBudgets.from_dict(values["render"]),
            **{f.name: values[f.name] for f in fields(CheckpointMeta) if f.name != "render"},
        )
    except (ValueError, TypeError, RenderError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def load_checkpoint(folder: Path | str) -> Checkpoint:
    """Read a checkpoint that `save_checkpoint` wrote.

    Raises:
        CheckpointError: a file is missing or does not fit.
    """
    meta = load_meta(folder)
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; the checkpoint is not whole")
    return Checkpoint(load_model(folder), Tokenizer.from_file(str(path)), meta)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON in one move: a reader sees the old file or the new one."""
    unfinished = path.with_name(path.name + ".partial")
    unfinished.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
