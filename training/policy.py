"""The policy that Stages II and III continue: a checkpoint of this project, and the record that they leave."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from training.checkpoint import CheckpointMeta, load_checkpoint, save_checkpoint
from training.config import GenerationDefaults, RuntimeConfig, from_dict
from training.data import PackedExamples, load_examples
from training.generator import Generator
from training.model import Device, choose_device, set_dropout
from training.validation import validate


@dataclass(frozen=True, slots=True)
class Policy:
    """A generator to continue.

    Attributes:
        model: on `device`. tokenizer: of the model.
        meta: of the checkpoint; its budgets, beam search and threshold stay.
        origin: a description of the checkpoint.
        device: where to compute.
    """

    model: Generator
    tokenizer: Tokenizer
    meta: CheckpointMeta
    origin: str
    device: Device

    @property
    def generation(self) -> GenerationDefaults:
        """How beam search runs."""
        return from_dict(GenerationDefaults, self.meta.generation)

    def frozen_copy(self) -> Generator:
        """Return the model as it is now, without dropout and gradients: a reference or a teacher."""
        model = copy.deepcopy(self.model)
        set_dropout(model, 0.0)
        model.train(False)
        model.requires_grad_(False)
        return model

    def load_examples(self, path: Path, cache: Path | None) -> PackedExamples:
        """Return examples, rendered with the budgets of the checkpoint; see `training.data.load_examples`."""
        packed = cache or path.parent / ".packed"
        return load_examples(path, self.tokenizer, self.meta.render, self.generation.max_new_tokens, packed)

    def validate(self, sample: PackedExamples) -> dict[str, float]:
        """Measure the model as it is now; see `training.validation.validate`."""
        return validate(self.model, self.tokenizer, sample, self.generation, self.meta.reject_threshold, self.device)

    def save(self, out: Path, training: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Write the model as it is now, with a training record and its validation figures."""
        meta = replace(self.meta, training=training, metrics={"validation": dict(metrics)})
        save_checkpoint(out, self.model, self.tokenizer, meta)


def load_policy(init_from: Path, dropout: float, runtime: RuntimeConfig) -> Policy:
    """Load a checkpoint to continue.

    Args:
        init_from: folder that `onebar train` wrote.
        dropout: the rate to train with.
        runtime: where to compute.

    Raises:
        CheckpointError: the folder is no checkpoint of this project.
    """
    checkpoint = load_checkpoint(init_from)
    set_dropout(checkpoint.model, dropout)
    device = choose_device(runtime)
    device.prepare(checkpoint.model)
    origin = f"{checkpoint.meta.training.get('stage')} {init_from.name}"
    return Policy(checkpoint.model, checkpoint.tokenizer, checkpoint.meta, origin, device)
