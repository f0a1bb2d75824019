"""The generator: BART, and a pointer to the entries of its source.

    p(q | x) = p(generate | x) * p_BART(q | x) + sum over entries e of x with the tokens of q: p(e | x)

A small decoder that reads well still spreads its probability where entries part. The pointer ranks whole entries, and
the decoder composes what stands nowhere. It is a mixture of sequences, so beam search over the decoder stays as it is,
and the pointer costs a small layer for each entry (docs/adr/0086). A BART without a pointer is a generator whose
p(generate | x) is 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

from evidence.entries import FIELD_PLACES

_GAIN = 10.0
"""On all scores. AdamW moves a weight by about the learning rate a step, and scores must move faster than that."""

NOTHING = -1e4
"""A score or a log-probability without mass; finite in bf16, so that gradients are numbers."""


def bart_config(
    special: Mapping[str, int],
    *,
    vocab_size: int,
    width: int,
    layers: tuple[int, int],
    ffn_dim: int,
    heads: int,
    positions: int,
    dropout: float,
) -> BartConfig:
    """Return the configuration of a BART of this project.

    Args:
        special: ids of the special tokens by name.
        vocab_size: of its tokenizer.
        width: of the model.
        layers: of encoder and decoder.
        ffn_dim: width of the feed-forward layers.
        heads: of every attention.
        positions: that a source may have.
        dropout: the rate to train with; attention and activations have none.
    """
    config = BartConfig(  # type: ignore[no-untyped-call]
        vocab_size=vocab_size,
        d_model=width,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        encoder_ffn_dim=ffn_dim,
        decoder_ffn_dim=ffn_dim,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        max_position_embeddings=positions,
        dropout=dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
    )
    set_special_tokens(config, special)
    return config


def set_special_tokens(config: BartConfig | GenerationConfig, special: Mapping[str, int]) -> None:
    """Write the ids of the special tokens, by name, into a configuration of the model or of its generation."""
    config.bos_token_id = special["bos"]
    config.pad_token_id = special["pad"]
    config.eos_token_id = special["eos"]
    config.decoder_start_token_id = special["eos"]
    # The summarisation checkpoints of BART force these two; a query has no forced first or last token.
    config.forced_bos_token_id = None
    config.forced_eos_token_id = None


class Pointer(nn.Module):
    """Scores the entries of a source, and the choice to generate instead.

    It reads the cross-attention values of the first decoder layer, which an encoder graph returns anyway.
    """

    def __init__(self, width: int, hidden: int) -> None:
        """Start with places and entries alike, and with p(generate) about .9 for a dozen of entries.

        Args:
            width: of the values.
            hidden: of the layer between.
        """
        super().__init__()
        self.gain = _GAIN
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, 1, bias=False)
        self.place = nn.Parameter(torch.zeros(FIELD_PLACES))
        self.generate = nn.Linear(width, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.generate.weight)
        nn.init.constant_(self.generate.bias, 4.5 / _GAIN)

    def forward(self, values: Tensor, starts: Tensor, places: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probabilities of generating [B], and of each entry [B, E].

        Args:
            values: [B, S, D] of the first decoder layer.
            starts: int64 [B, E], positions of the first tokens.
            places: int64 [B, E], see `evidence.entries`.
            present: bool [B, E], False where padded.
        """
        read = values.gather(1, starts[:, :, None].expand(-1, -1, values.shape[2]))  # [B, E, D]
        scores = self.outer(torch.relu(self.inner(read))).squeeze(2).float() + self.place[places]  # [B, E]
        scores = (self.gain * scores).masked_fill(~present, NOTHING)
        generate = self.gain * self.generate(values[:, 0]).float()  # [B, 1]
        logprobs = torch.log_softmax(torch.cat([generate, scores], dim=1), dim=1)
        return logprobs[:, 0], logprobs[:, 1:]


class Generator(BartForConditionalGeneration):  # type: ignore[no-untyped-call]
    """BART with a pointer where `config.pointer_hidden` is above 0.

    Attributes:
        pointer: None for plain BART.
    """

    pointer: Pointer | None

    def __init__(self, config: BartConfig) -> None:
        """Make the modules; see transformers."""
        super().__init__(config)
        hidden: int = getattr(config, "pointer_hidden", 0)
        self.pointer = Pointer(config.d_model, hidden) if hidden else None

    def add_pointer(self, hidden: int, separator: int, between: int) -> None:
        """Give a model without a pointer a new one, and note in its configuration how entries are found.

        Args:
            hidden: width of the pointer's layer.
            separator: the token between two fields of a source.
            between: the token between two queries of a field.
        """
        self.config.pointer_hidden = hidden
        self.config.pointer_separator, self.config.pointer_between = separator, between
        self.pointer = Pointer(self.config.d_model, hidden)

    def values_of(self, states: Tensor) -> Tensor:
        """Return what the pointer reads, [B, S, D], of the encoder's states [B, S, D]."""
        values: Tensor = self.model.decoder.layers[0].encoder_attn.v_proj(states)
        return values
