"""A checkpoint folder as training leaves it.

checkpoint/
├── config.json, model.safetensors, generation_config.json    transformers' save_pretrained of a BART
├── tokenizer.json                                            Hugging Face `tokenizers`
└── onebar.json    {"render": budgets, "generation": options, "reject": {"threshold": p},
                    "training": {...}, "metrics": {...}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import BartForConditionalGeneration

from evidence.errors import RenderError
from evidence.render import RenderBudgets
from generation.bundle import TOKENIZER, Architecture, SpecialTokens
from generation.errors import OptionsError
from generation.options import GenerationOptions
from model_export.errors import CheckpointError

ONEBAR = "onebar.json"
_TOKENS = {
    "bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>", "sep": "[SEP]", "reject": "[REJECT]",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read and found fit to be exported. The model is in evaluation mode, fp32, on the CPU."""

    path: Path
    model: BartForConditionalGeneration
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
        """What token embeddings are multiplied by in encoder and decoder."""
        return float(self.architecture.d_model) ** 0.5 if self.model.config.scale_embedding else 1.0


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: a file is missing or unreadable, or the model uses what the graphs do not implement.
    """
    folder = Path(path)
    for name in ("config.json", TOKENIZER, ONEBAR):
        if not (folder / name).is_file():
            raise CheckpointError(f"there is no {name} in {folder}; give a folder that `onebar train` wrote")
    try:
        model = BartForConditionalGeneration.from_pretrained(folder, local_files_only=True).float().eval()
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        notes = json.loads((folder / ONEBAR).read_text(encoding="utf-8"))
        budgets = RenderBudgets.from_dict(notes["render"])
        generation = GenerationOptions.from_dict(notes["generation"])
        threshold = float(notes["reject"]["threshold"])
    except (OSError, ValueError, KeyError, TypeError, RenderError, OptionsError) as error:
        raise CheckpointError(f"{folder} cannot be read: {error!r}") from error
    architecture = _check_architecture(model)
    if budgets.max_source_tokens > architecture.max_positions:
        raise CheckpointError(
            f"sources of {budgets.max_source_tokens} tokens do not fit the model, "
            f"which has {architecture.max_positions} positions"
        )
    return Checkpoint(
        path=folder,
        model=model,
        tokenizer=tokenizer,
        architecture=architecture,
        special_tokens=_special_tokens(tokenizer, model),
        render_budgets=budgets,
        generation=generation,
        reject_threshold=threshold,
        training=dict(notes.get("training", {})),
        metrics=dict(notes.get("metrics", {})),
    )


def _check_architecture(model: BartForConditionalGeneration) -> Architecture:
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


def _special_tokens(tokenizer: Tokenizer, model: BartForConditionalGeneration) -> SpecialTokens:
    config = model.config
    ids: dict[str, int | None] = {name: tokenizer.token_to_id(token) for name, token in _TOKENS.items()}
    found = {name: token_id for name, token_id in ids.items() if token_id is not None}
    missing = [_TOKENS[name] for name in ids if name not in found]
    if missing:
        raise CheckpointError(f"the tokenizer lacks {', '.join(missing)}; train it with `onebar train tokenizer`")
    if config.decoder_start_token_id is None:
        raise CheckpointError("config.decoder_start_token_id is not set; BART starts its decoder with </s>")
    for name in ("bos", "pad", "eos"):
        if getattr(config, f"{name}_token_id") != ids[name]:
            raise CheckpointError(
                f"config.{name}_token_id is {getattr(config, f'{name}_token_id')} and the tokenizer has {ids[name]}"
            )
    return SpecialTokens(**found, decoder_start=config.decoder_start_token_id)
