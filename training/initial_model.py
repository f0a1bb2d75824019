"""The model that a stage begins with: a new one, a checkpoint of this project, or any local BART."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BartForConditionalGeneration

from evidence.render import RenderBudgets
from training.checkpoint import META_FILE, load_checkpoint
from training.config import ModelConfig
from training.errors import CheckpointError, ConfigError
from training.model import adopt_model, build_model, set_dropout
from training.tokenizer import load_tokenizer


@dataclass(frozen=True, slots=True)
class InitialModel:
    """A model to train, its tokenizer, and a description of their origin for the checkpoint."""

    model: BartForConditionalGeneration
    tokenizer: Tokenizer
    origin: str


def load_initial_model(
    init_from: Path | None, tokenizer: Path | None, model: ModelConfig, budgets: RenderBudgets, seed: int
) -> InitialModel:
    """Load or make the model of a stage.

    Args:
        init_from: a checkpoint folder, of which `model` changes the dropout only. None makes a new model.
        tokenizer: tokenizer.json. A new model needs it. With `init_from` it is refused, because weights and tokenizer
            belong together.
        model: shape of a new model.
        budgets: render budgets of the stage.
        seed: of the weights of a new model.

    Raises:
        ConfigError: neither or both were given, or the budgets do not fit the positions.
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
    if not (init_from / META_FILE).is_file():
        adopted, own = adopt_model(init_from, model.dropout, budgets.max_source_tokens)
        return InitialModel(adopted, own, f"BART checkpoint {init_from.name}")
    checkpoint = load_checkpoint(init_from)
    if checkpoint.meta.render != budgets:
        raise CheckpointError(
            f"{init_from} was trained with {checkpoint.meta.render}, the configuration says {budgets}; make them equal"
        )
    set_dropout(checkpoint.model, model.dropout)
    origin = f"{checkpoint.meta.training.get('stage')} {init_from.name}"
    return InitialModel(checkpoint.model, checkpoint.tokenizer, origin)
