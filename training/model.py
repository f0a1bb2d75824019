"""The generator: transformers' BART, small, made from nothing or taken from a local checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration

from training.config import ModelConfig, RuntimeConfig
from training.data import IGNORED_LABEL, Batch
from training.errors import CheckpointError, ConfigError
from training.tokenizer import SPECIAL_TOKENS, special_token_ids


def build_model(config: ModelConfig, tokenizer: Tokenizer) -> BartForConditionalGeneration:
    """Make a BART from nothing for a tokenizer. Raises ConfigError when the heads do not divide the width."""
    if config.d_model % config.attention_heads:
        raise ConfigError(f"model.d_model={config.d_model} is no multiple of attention_heads={config.attention_heads}")
    special = special_token_ids(tokenizer)
    bart = BartConfig(  # type: ignore[no-untyped-call]
        vocab_size=tokenizer.get_vocab_size(),
        d_model=config.d_model,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        encoder_ffn_dim=config.ffn_dim,
        decoder_ffn_dim=config.ffn_dim,
        encoder_attention_heads=config.attention_heads,
        decoder_attention_heads=config.attention_heads,
        max_position_embeddings=config.max_positions,
        dropout=config.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
    )
    _set_special_tokens(bart, special)
    model: BartForConditionalGeneration = BartForConditionalGeneration._from_config(bart)
    for stack in (model.model.encoder, model.model.decoder):
        _start_from_sinusoids(stack.embed_positions.weight)
    _set_generation(model, special)
    return model


def _start_from_sinusoids(positions: Tensor) -> None:
    """Give learnt positions the values of sinusoids, at the scale of the token embeddings.

    Copying wants a head that looks one token on. Between sinusoids that is a rotation which a head finds within
    hundreds of steps; between random vectors it must be found for each position by itself.
    """
    rows, width = positions.shape
    steps = torch.arange(rows, dtype=torch.float32)[:, None]  # [rows, 1]
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))  # [width / 2]
    with torch.no_grad():
        positions[:, 0::2] = torch.sin(steps * frequencies)
        positions[:, 1::2] = torch.cos(steps * frequencies)
        positions.mul_(0.02 * math.sqrt(2.0))


def load_model(folder: Path | str) -> BartForConditionalGeneration:
    """Read a BART from a local folder. Raises CheckpointError when it is none."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} holds no config.json; give the folder of a local BART checkpoint")
    try:
        model: BartForConditionalGeneration = BartForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{folder} cannot be read as a BART checkpoint: {error}") from error
    return model


def adopt_model(
    folder: Path | str, dropout: float, needed_positions: int
) -> tuple[BartForConditionalGeneration, Tokenizer]:
    """Read any local BART with its tokenizer.json, and make it speak the [SEP] schema.

    [SEP] and [REJECT] are added when they are missing, with embeddings drawn around the mean of the others; ids of
    special tokens stay what the checkpoint has, and are carried in config.json and onebar.json.

    Raises:
        CheckpointError: no tokenizer.json, a special token of BART is missing, or too few positions.
    """
    model = load_model(folder)
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; --init-from needs the fast tokenizer beside the weights")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if not set(missing) <= {"[SEP]", "[REJECT]"}:
        raise CheckpointError(f"{path} has no {missing[0]}; that is no BART tokenizer")
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in missing])
    if model.config.max_position_embeddings < needed_positions:
        raise CheckpointError(
            f"{folder} has {model.config.max_position_embeddings} positions, max_source_tokens is {needed_positions}; "
            "lower the render budgets"
        )
    if tokenizer.get_vocab_size() > model.config.vocab_size:
        torch.manual_seed(0)
        model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=True)
    special = special_token_ids(tokenizer)
    _set_special_tokens(model.config, special)
    set_dropout(model, dropout)
    _set_generation(model, special)
    return model, tokenizer


def set_dropout(model: BartForConditionalGeneration, dropout: float) -> None:
    """Change the rate of a model that is already made; attention and activations have none of their own."""
    model.config.dropout = dropout
    stacks = (model.model.encoder, model.model.decoder)
    for module in (*stacks, *stacks[0].layers, *stacks[1].layers):
        module.dropout = dropout


def _set_special_tokens(config: BartConfig, special: dict[str, int]) -> None:
    config.bos_token_id = special["bos"]
    config.pad_token_id = special["pad"]
    config.eos_token_id = special["eos"]
    config.decoder_start_token_id = special["eos"]
    # BART's summarisation checkpoints force these; a query has neither a forced start nor a forced end.
    config.forced_bos_token_id = None
    config.forced_eos_token_id = None


def _set_generation(model: BartForConditionalGeneration, special: dict[str, int]) -> None:
    generation = model.generation_config
    assert generation is not None  # transformers makes one for every model that generates
    generation.bos_token_id = special["bos"]
    generation.pad_token_id = special["pad"]
    generation.eos_token_id = special["eos"]
    generation.decoder_start_token_id = special["eos"]
    generation.forced_bos_token_id = None
    generation.forced_eos_token_id = None
    generation.no_repeat_ngram_size = 0


def target_logits(model: BartForConditionalGeneration, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Run a batch and return (logits [N, V], labels [N], weights [N]) at the N target positions that are not padding.

    The vocabulary is wide beside the model: logits of padding would be a good part of a step's work.
    """
    hidden = model.model(
        input_ids=batch.source,
        attention_mask=batch.source_mask,
        decoder_input_ids=batch.decoder_input,
        use_cache=False,
    ).last_hidden_state  # [B, T, D]
    counts = batch.labels != IGNORED_LABEL  # [B, T]
    logits = model.lm_head(hidden[counts]) + model.get_buffer("final_logits_bias")[0]  # [N, V]
    weights = batch.weights[:, None].expand_as(batch.labels)[counts]  # [N]
    return logits, batch.labels[counts], weights


@dataclass(frozen=True, slots=True)
class Device:
    """Where to compute, and whether matrix products are in bf16."""

    device: torch.device
    bf16: bool

    def prepare(self, model: BartForConditionalGeneration) -> None:
        """Move a model there and choose its attention: at these lengths plain products beat the fused kernel on CPU."""
        model.set_attn_implementation("sdpa" if self.device.type == "cuda" else "eager")
        torch.nn.Module.to(model, self.device)

    def autocast(self) -> torch.autocast:
        """Return the context that products run in."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def choose_device(runtime: RuntimeConfig) -> Device:
    """Resolve `auto`: CUDA when there is one; bf16 where the processor multiplies it natively."""
    name = runtime.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    bf16 = runtime.precision == "bf16"
    if runtime.precision == "auto":
        bf16 = torch.cuda.is_bf16_supported() if name.startswith("cuda") else _cpu_has_bf16()
    return Device(torch.device(name), bf16)


def _cpu_has_bf16() -> bool:
    # Without the instructions oneDNN emulates bf16, which is slower than fp32.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
