"""The model that a stage begins with: a new one, a checkpoint of this project, or any local BART."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from evidence.render import RenderBudgets
from training.checkpoint import META_FILE, load_checkpoint
from training.config import ModelConfig
from training.errors import ConfigError
from training.generator import Generator
from training.model import add_pointer, adopt_model, build_model, set_dropout
from training.positions import extend_positions
from training.tokenizer import load_tokenizer


@dataclass(frozen=True, slots=True)
class InitialModel:
    """A model to train, its tokenizer, and a description of their origin for the checkpoint."""

    model: Generator
    tokenizer: Tokenizer
    origin: str


def load_initial_model(
    init_from: Path | None, tokenizer: Path | None, model: ModelConfig, budgets: RenderBudgets, seed: int
) -> InitialModel:
    """Load or make the model of a stage.

    Args:
        init_from: a checkpoint folder, of which `model` changes the dropout, and adds the pointer if it has none, and
            `budgets` the positions. None makes a new model.
        tokenizer: tokenizer.json. A new model needs it. With `init_from` it is refused, because weights and tokenizer
            belong together.
        model: shape of a new model, and of the pointer that a model without one is given.
        budgets: render budgets of the stage.
        seed: of the weights of a new model.

    Raises:
        ConfigError: neither or both were given, or the budgets do not fit the positions of a new model.
        CheckpointError: the folder cannot be used.
    """
    if (init_from is None) == (tokenizer is None):
        raise ConfigError("give either --init-from (a checkpoint includes its tokenizer) or --tokenizer")
    if init_from is None:
        assert tokenizer is not None
        if budgets.max_source_tokens > model.max_positions:
            raise ConfigError(
                f"render.max_source_tokens={budgets.max_source_tokens} is over "
                f"model.max_positions={model.max_positions}"
            )
        torch.manual_seed(seed)
        loaded = load_tokenizer(tokenizer)
        return InitialModel(build_model(model, loaded), loaded, "nothing")
    if (init_from / META_FILE).is_file():
        checkpoint = load_checkpoint(init_from)
        set_dropout(checkpoint.model, model.dropout)
        origin = f"{checkpoint.meta.training.get('stage')} {init_from.name}"
        start = InitialModel(checkpoint.model, checkpoint.tokenizer, origin)
    else:
        start = InitialModel(*adopt_model(init_from, model.dropout), f"BART checkpoint {init_from.name}")
    add_pointer(start.model, start.tokenizer, model.pointer_hidden)
    extend_positions(start.model, budgets.max_source_tokens)
    return start
