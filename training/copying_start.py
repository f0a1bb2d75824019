"""The start of a new model: an induction circuit, which copies entries of the source before any training.

A small BART made from nothing memorises its shop long before it reads its source. Copying needs three parts that help
only together: the encoder must mark each position with the token before it, the decoder must find the positions behind
its last token, and the output must be the token that stands there. This module sets all three, so the first gradients
already pass through a model that reads (docs/training_experiments.md has what this is worth). Every weight stays free
to learn, and the exported graphs are the same.

At the start the width is divided into rooms (64, 64 and 128 dimensions of 256):

    position   sinusoids; token embeddings are zero there
    previous   empty in the embeddings; an encoder head writes a sketch of the previous token there
    token      the token embeddings; their first dimensions are the sketch

All delimiters (`<s>`, `</s>`, `[SEP]`, ";") start near one embedding. The decoder starts with `</s>`, so it first finds
the positions behind a delimiter, where entries begin. Behind the last token of an entry it finds a delimiter, which is
close to `</s>`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.models.bart.modeling_bart import BartAttention

from training.generator import Generator

# Token embeddings have this deviation. The output layer is tied to them, so with transformers' 0.02 the copied token
# would have a probability of some thousandths only.
_EMBEDDING_STD = 0.06
_DELIMITER_STD = 0.1 * _EMBEDDING_STD
_LONGEST_PERIOD = 256.0  # tokens
_POSITION_GAIN = 2.0  # of queries and keys of the head that looks one token back
_MATCH_GAIN = 1.0  # of queries and keys that compare the last token with the previous ones
_COPY_GAIN = 4.0  # of the copied token, against the last token, which the decoder's residual stream has


def start_copying(model: Generator, delimiters: Sequence[int]) -> None:
    """Set weights of a new model so that it copies entries of its source.

    Args:
        model: made from nothing; its other weights keep their random values.
        delimiters: ids of the tokens between which entries stand.
    """
    bart = model.model
    width, heads = bart.config.d_model, bart.config.decoder_attention_heads
    head = width // heads
    frequencies = wave_frequencies(width, heads)  # [room / 2]
    room = 2 * len(frequencies)
    with torch.no_grad():
        _start_embeddings(bart.shared.weight, delimiters, 2 * room)
        for stack in (bart.encoder, bart.decoder):
            _start_positions(stack.embed_positions.weight, frequencies)
        _look_one_token_back(bart.encoder.layers[0].self_attn, frequencies, head)
        for layer in bart.decoder.layers:
            for projection in (layer.encoder_attn.v_proj, layer.encoder_attn.out_proj):
                projection.weight.copy_(torch.eye(width))
        _find_what_follows(bart.decoder.layers[0].encoder_attn, room, head)


def wave_frequencies(width: int, heads: int) -> Tensor:
    """Return the frequencies of the sinusoids in the position room [room / 2], radians a token."""
    room = min(width // 4, width // heads) // 2 * 2
    return math.pi * (2.0 / _LONGEST_PERIOD) ** torch.linspace(0.0, 1.0, room // 2)


def _start_embeddings(tokens: Tensor, delimiters: Sequence[int], first: int) -> None:
    """Fill the token room of the embeddings [V, D], which starts at dimension `first`."""
    tokens.normal_(0.0, _EMBEDDING_STD)
    tokens[list(delimiters)] = tokens[delimiters[0]] + _DELIMITER_STD * torch.randn(len(delimiters), tokens.shape[1])
    tokens[:, :first] = 0.0


def _start_positions(positions: Tensor, frequencies: Tensor) -> None:
    """Set learnt positions [P, D] to sinusoids in the position room, at the scale of the token embeddings."""
    angles = torch.arange(positions.shape[0])[:, None] * frequencies  # [P, room / 2]
    positions.zero_()
    positions[:, 0 : 2 * len(frequencies) : 2] = angles.sin()
    positions[:, 1 : 2 * len(frequencies) : 2] = angles.cos()
    positions.mul_(math.sqrt(2.0) * _EMBEDDING_STD)


def _look_one_token_back(attention: BartAttention, frequencies: Tensor, head: int) -> None:
    """Let the first head read the sketch of the previous token and write it into the previous room."""
    room = 2 * len(frequencies)
    query, key, value = (
        projection.weight[:head] for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    out = attention.out_proj.weight[:, :head]  # [D, head]
    for part in (query, key, value, out):
        part.zero_()
    # A position is a point on one circle for each frequency, so a step back is a rotation.
    even, odd = torch.arange(0, room, 2), torch.arange(1, room, 2)
    cosine, sine = _POSITION_GAIN * frequencies.cos(), _POSITION_GAIN * frequencies.sin()
    query[even, even], query[even, odd] = cosine, -sine
    query[odd, even], query[odd, odd] = sine, cosine
    key[:room, :room] = _POSITION_GAIN * torch.eye(room)
    value[:room, 2 * room : 3 * room] = torch.eye(room)
    out[room : 2 * room, :room] = torch.eye(room)


def _find_what_follows(attention: BartAttention, room: int, head: int) -> None:
    """Let the heads of the token room attend where the previous token is the decoder's last one, and copy."""
    attention.out_proj.weight.mul_(_COPY_GAIN)
    for begin in range(0, attention.q_proj.weight.shape[0], head):
        if begin + head <= 2 * room:
            continue  # its values are positions and previous tokens
        query, key = (part.weight[begin : begin + head] for part in (attention.q_proj, attention.k_proj))
        query.zero_()
        key.zero_()
        query[:room, 2 * room : 3 * room] = _MATCH_GAIN * torch.eye(room)
        key[:room, room : 2 * room] = _MATCH_GAIN * torch.eye(room)
