"""More positions for a model that was trained with fewer, so that its sources can grow.

The positions of a copying start are sinusoids, and training changes them little. So new ones continue the waves of the
last ones, and the head that looks one token back finds its neighbour there too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.copying_start import wave_frequencies
from training.generator import Generator

_CONTINUED = 16  # last positions that a new one is the mean of


def extend_positions(model: Generator, positions: int) -> None:
    """Give a model at least that many positions; those that it has stay as they are."""
    config = model.config
    if positions <= config.max_position_embeddings:
        return
    frequencies = wave_frequencies(config.d_model, config.encoder_attention_heads)
    for stack in (model.model.encoder, model.model.decoder):
        known = stack.embed_positions.weight.detach()
        longer = type(stack.embed_positions)(positions, config.d_model)
        new = continue_waves(known, positions - config.max_position_embeddings, frequencies)
        longer.weight = nn.Parameter(torch.cat([known, new]))
        stack.embed_positions = longer
    config.max_position_embeddings = positions


def continue_waves(known: Tensor, count: int, frequencies: Tensor) -> Tensor:
    """Return rows [count, D] that follow known rows [P, D].

    Each is the mean of the last known rows, whose first dimensions, pairs of sine and cosine, are turned on to its
    position.

    Args:
        known: learned positions.
        count: how many follow.
        frequencies: [R / 2] of the first R dimensions, radians a position.
    """
    room, last = 2 * len(frequencies), known[-_CONTINUED:]  # [L, D]
    steps = torch.arange(count)[:, None] + torch.arange(len(last), 0, -1)  # [count, L], from a last row to a new one
    angles = steps[:, :, None] * frequencies  # [count, L, R / 2]
    sine, cosine = last[:, 0:room:2], last[:, 1:room:2]  # [L, R / 2]
    rows = last.mean(dim=0).repeat(count, 1)  # [count, D]
    rows[:, 0:room:2] = (sine * angles.cos() + cosine * angles.sin()).mean(dim=1)
    rows[:, 1:room:2] = (cosine * angles.cos() - sine * angles.sin()).mean(dim=1)
    return rows
