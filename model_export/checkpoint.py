"""A checkpoint (training.checkpoint) that was found fit for export: its sizes, special tokens and options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

import training.checkpoint as checkpoint_format
from evidence.render import RenderBudgets
from evidence.tokens import special_token_ids
from generation.bundle import Architecture, SpecialTokens
from generation.errors import OptionsError
from generation.options import GenerationOptions
from model_export.errors import CheckpointError

if TYPE_CHECKING:
    from training.generator import Generator


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint to export. The model is in evaluation mode, fp32, on the CPU."""

    path: Path
    model: Generator
    tokenizer: Tokenizer
    architecture: Architecture
    special_tokens: SpecialTokens
    render_budgets: RenderBudgets
    generation: GenerationOptions
    reject_threshold: float
    training: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def embedding_scale(self) -> float:
        """The factor on token embeddings in encoder and decoder."""
        return float(self.architecture.d_model) ** 0.5 if self.model.config.scale_embedding else 1.0


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: a file is missing or unreadable, or the model uses what the graphs do not implement.
    """
    folder = Path(path)
    try:
        read = checkpoint_format.load_checkpoint(folder)
        generation = GenerationOptions.from_dict(dict(read.meta.generation))
    except checkpoint_format.CheckpointError as error:
        raise CheckpointError(str(error)) from error
    except OptionsError as error:
        raise CheckpointError(f"the generation options of {folder} cannot be read: {error}") from error
    architecture = _check_architecture(read.model)
    budgets = read.meta.render
    if budgets.max_source_tokens > architecture.max_positions:
        raise CheckpointError(
            f"sources of {budgets.max_source_tokens} tokens do not fit the model, "
            f"which has {architecture.max_positions} positions"
        )
    return Checkpoint(
        path=folder,
        model=read.model,
        tokenizer=read.tokenizer,
        architecture=architecture,
        special_tokens=_special_tokens(read.tokenizer, read.model),
        render_budgets=budgets,
        generation=generation,
        reject_threshold=read.meta.reject_threshold,
        training=dict(read.meta.training),
        metrics=dict(read.meta.metrics),
    )


def _check_architecture(model: Generator) -> Architecture:
    config = model.config
    expected = {
        "activation_function": "gelu",
        "tie_word_embeddings": True,
        "decoder_attention_heads": config.encoder_attention_heads,
    }
    for name, value in expected.items():
        if getattr(config, name) != value:
            raise CheckpointError(f"config.{name} is {getattr(config, name)!r} and the graphs implement only {value!r}")
    return Architecture(
        d_model=config.d_model,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        attention_heads=config.encoder_attention_heads,
        vocab_size=config.vocab_size,
        max_positions=config.max_position_embeddings,
    )


def _special_tokens(tokenizer: Tokenizer, model: Generator) -> SpecialTokens:
    config = model.config
    ids = special_token_ids(tokenizer)
    if config.decoder_start_token_id is None:
        raise CheckpointError("config.decoder_start_token_id is not set; BART starts its decoder with </s>")
    for name in ("bos", "pad", "eos"):
        if getattr(config, f"{name}_token_id") != ids[name]:
            raise CheckpointError(
                f"config.{name}_token_id is {getattr(config, f'{name}_token_id')} and the tokenizer has {ids[name]}"
            )
    return SpecialTokens(**ids, decoder_start=config.decoder_start_token_id)
