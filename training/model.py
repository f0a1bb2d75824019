"""The generator: a small BART of transformers, new or read from a local checkpoint."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tokenizers import AddedToken, Tokenizer
from torch import Tensor

from evidence.tokens import QUERY_SEPARATOR, REJECT_TOKEN, SEP_TOKEN, SPECIAL_TOKENS
from training.batches import IGNORED_LABEL, Batch
from training.checkpoint import TOKENIZER_FILE, load_weights
from training.config import ModelConfig, RuntimeConfig
from training.copying_start import start_copying
from training.errors import CheckpointError, ConfigError
from training.generator import Generator, bart_config, set_special_tokens
from training.memory import keep_freed_memory
from training.tokenizer import special_token_ids


def build_model(config: ModelConfig, tokenizer: Tokenizer) -> Generator:
    """Make a new BART for a tokenizer, by default with the copying start.

    Raises:
        ConfigError: the number of heads does not divide the width.
    """
    if config.d_model % config.attention_heads:
        raise ConfigError(f"model.d_model={config.d_model} is no multiple of attention_heads={config.attention_heads}")
    special = special_token_ids(tokenizer)
    bart = bart_config(
        special,
        vocab_size=tokenizer.get_vocab_size(),
        width=config.d_model,
        layers=(config.encoder_layers, config.decoder_layers),
        ffn_dim=config.ffn_dim,
        heads=config.attention_heads,
        positions=config.max_positions,
        dropout=config.dropout,
    )
    model: Generator = Generator._from_config(bart)
    if config.copying_start:
        delimiters = [special["eos"], special["bos"], special["sep"], tokenizer.token_to_id(QUERY_SEPARATOR)]
        start_copying(model, delimiters)
    add_pointer(model, tokenizer, config.pointer_hidden)
    _set_generation(model, special)
    return model


def add_pointer(model: Generator, tokenizer: Tokenizer, hidden: int) -> None:
    """Give a model a new pointer, unless it has one or `hidden` is 0."""
    if hidden and model.pointer is None:
        model.add_pointer(hidden, special_token_ids(tokenizer)["sep"], tokenizer.token_to_id(QUERY_SEPARATOR))


def adopt_model(folder: Path | str, dropout: float) -> tuple[Generator, Tokenizer]:
    """Read any local BART with its tokenizer.json, and add what the [SEP] schema needs.

    [SEP] and [REJECT] are added when they are missing, with embeddings drawn around the mean of the others. The other
    special tokens keep the ids of the checkpoint; config.json and onebar.json record them.

    Args:
        folder: the checkpoint in transformers' format.
        dropout: the rate to train with.

    Raises:
        CheckpointError: no tokenizer.json, or a special token of BART is missing.
    """
    model = load_weights(folder)
    path = Path(folder) / TOKENIZER_FILE
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; --init-from needs the fast tokenizer in the folder of the weights")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    missing = [token for token in SPECIAL_TOKENS.values() if tokenizer.token_to_id(token) is None]
    if not set(missing) <= {SEP_TOKEN, REJECT_TOKEN}:
        raise CheckpointError(f"{path} has no {missing[0]}; it is not a BART tokenizer")
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in missing])
    if tokenizer.get_vocab_size() > model.config.vocab_size:
        torch.manual_seed(0)
        model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=True)
    special = special_token_ids(tokenizer)
    set_special_tokens(model.config, special)
    set_dropout(model, dropout)
    _set_generation(model, special)
    return model, tokenizer


def set_dropout(model: Generator, dropout: float) -> None:
    """Change the dropout rate of a model that exists already. Attention and activations have no rate of their own."""
    model.config.dropout = dropout
    stacks = (model.model.encoder, model.model.decoder)
    for module in (*stacks, *stacks[0].layers, *stacks[1].layers):
        module.dropout = dropout


def _set_generation(model: Generator, special: dict[str, int]) -> None:
    generation = model.generation_config
    assert generation is not None  # transformers makes one for every model that generates
    set_special_tokens(generation, special)
    generation.no_repeat_ngram_size = 0


def encode(model: Generator, source: Tensor, mask: Tensor | None, embedded: Tensor | None = None) -> Tensor:
    """Return the encoder's states [B, S, D] of sources [B, S].

    Args:
        model: a BART.
        source: int64 [B, S].
        mask: int64 [B, S], None when nothing is padded.
        embedded: [B, S, D], vectors to read in place of the embeddings of `source`.
    """
    states: Tensor
    if embedded is None:
        states = model.model.encoder(input_ids=source, attention_mask=mask).last_hidden_state
    else:
        states = model.model.encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
    return states


def decoder_logits(
    model: Generator,
    states: Tensor,
    mask: Tensor | None,
    source_of: Tensor | None,
    decoder_input: Tensor,
    counts: Tensor,
) -> Tensor:
    """Return logits [P, V] at the P positions of N targets that count.

    The vocabulary is large compared with the model, so logits at padding would be a large part of the work of a step.

    Args:
        model: a BART.
        states: [B, S, D] of the encoder.
        mask: int64 [B, S] or None.
        source_of: int64 [N], the source of each target; None when target i belongs to source i.
        decoder_input: int64 [N, T].
        counts: bool [N, T], with P times True.
    """
    if source_of is not None:
        states = states[source_of]  # [N, S, D]
        mask = None if mask is None else mask[source_of]  # [N, S]
    hidden = model.model.decoder(
        input_ids=decoder_input, encoder_hidden_states=states, encoder_attention_mask=mask, use_cache=False
    ).last_hidden_state  # [N, T, D]
    logits: Tensor = model.lm_head(hidden[counts]) + model.get_buffer("final_logits_bias")[0]  # [P, V]
    return logits


def target_logits(model: Generator, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Run a batch and return (logits [P, V], labels [P], weights [P]) at the P positions that are not padding."""
    states = encode(model, batch.source, batch.source_mask)
    counts = batch.labels != IGNORED_LABEL  # [N, T]
    logits = decoder_logits(model, states, batch.source_mask, batch.source_of, batch.decoder_input, counts)
    weights = batch.weights[:, None].expand_as(batch.labels)[counts]  # [P]
    return logits, batch.labels[counts], weights


@dataclass(frozen=True, slots=True)
class Device:
    """Where a stage computes: the device and the precision of this process, and the other processes of the run."""

    accelerator: Accelerator

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self.accelerator.device
        return device

    def prepare(self, model: Generator) -> None:
        """Move a model to the device and choose its attention; short sources need plain products on the CPU."""
        model.set_attn_implementation("sdpa" if self.device.type == "cuda" else "eager")
        if self.device.type == "cuda":
            # cuDNN's attention makes a plan for each shape, and batches have many: on an H200 a step took 320 ms with
            # it, and 52 ms with PyTorch's own kernels and another run beside it.
            torch.backends.cuda.enable_cudnn_sdp(False)
        torch.nn.Module.to(model, self.device)

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which matrix products run."""
        context: AbstractContextManager[None] = self.accelerator.autocast()
        return context


def choose_device(runtime: RuntimeConfig) -> Device:
    """Join the processes of the run, and choose device and precision of this one.

    `auto` is CUDA where it is available, and bf16 where the processor multiplies it natively.

    Raises:
        ConfigError: the configuration wants CUDA or bf16, and there is none.
    """
    cuda = torch.cuda.is_available()
    if runtime.device == "cuda" and not cuda:
        raise ConfigError("runtime.device=cuda, but torch finds no GPU; set it to auto or cpu")
    on_cpu = runtime.device == "cpu" or not cuda
    # Without the instructions oneDNN emulates bf16, which is slower than fp32.
    native = _cpu_has_bf16() if on_cpu else torch.cuda.is_bf16_supported()
    if runtime.precision == "bf16" and not native and not on_cpu:
        raise ConfigError("runtime.precision=bf16, but the GPU has none; set it to auto or fp32")
    bf16 = runtime.precision == "bf16" or (runtime.precision == "auto" and native)
    # accelerate has one state for the whole process and refuses to change it. Stages of several configurations may
    # follow each other in a process. The trainer of transformers resets the state in the same way.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="bf16" if bf16 else "no")
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    keep_freed_memory()
    return Device(accelerator)


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
