"""Trajectories that the student samples (Algorithm 1, paper)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from training.batches import IGNORED_LABEL, Batch
from training.generator import Generator
from training.mixture import Pointed, read_pointer


@dataclass(frozen=True, slots=True)
class Rollouts:
    """N sampled trajectories of at most T tokens.

    Attributes:
        decoder_input: int64 [N, T], the prefixes: the start token, then every token but the last.
        tokens: int64 [N, T], the token that was sampled behind each prefix.
        counts: bool [N, T], False behind </s>.
    """

    decoder_input: Tensor
    tokens: Tensor
    counts: Tensor


@torch.no_grad()
def sample_rollouts(
    model: Generator,
    batch: Batch,
    states: Tensor,
    most_tokens: int,
    temperature: float,
) -> Rollouts:
    """Sample one trajectory for each target from the mixture, by the torch generator of the process.

    Args:
        model: the student, in evaluation mode.
        batch: its sources, and the source of each target.
        states: [B, S, D] of its encoder.
        most_tokens: tokens after which a trajectory is cut.
        temperature: of the sampling.
    """
    pointed = read_pointer(model, batch.source, batch.source_mask, states)
    mask, source_of = batch.source_mask, batch.source_of
    if source_of is not None:
        states = states[source_of]  # [N, S, D]
        mask = None if mask is None else mask[source_of]
    rows = states.shape[0]
    eos, pad, start = model.config.eos_token_id, model.config.pad_token_id, model.config.decoder_start_token_id
    assert eos is not None
    assert pad is not None
    assert start is not None
    token = torch.full((rows, 1), start, device=states.device)  # [N, 1]
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    ended = torch.zeros(rows, dtype=torch.bool, device=states.device)
    tokens = []
    for _ in range(most_tokens):
        hidden = model.model.decoder(
            input_ids=token,
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]  # [N, D]
        logits = model.lm_head(hidden) + model.get_buffer("final_logits_bias")[0]  # [N, V]
        probabilities = torch.softmax(logits.float() / temperature, dim=-1)
        drawn = torch.multinomial(probabilities, 1)  # [N, 1]
        token = torch.where(ended[:, None], pad, drawn)
        tokens.append(token)
        ended = ended | (token[:, 0] == eos)
        if bool(ended.all()):
            break
    sampled = torch.cat(tokens, dim=1)  # [N, T]
    if pointed is not None:
        sampled = _point(sampled, pointed.of(source_of), most_tokens, temperature, pad)
    ends = (sampled == eos).cumsum(dim=1)
    before_end = (ends - (sampled == eos).long()) == 0
    starts = torch.full((rows, 1), start, device=states.device)
    return Rollouts(torch.cat([starts, sampled[:, :-1]], dim=1), sampled, before_end)


def _point(sampled: Tensor, pointed: Pointed, most_tokens: int, temperature: float, pad: int) -> Tensor:
    """Replace trajectories [N, T] by entries of their sources, as often as the pointer says."""
    scores = torch.cat([pointed.generate[:, None], pointed.entries], dim=1) / temperature
    chosen = torch.multinomial(torch.softmax(scores, dim=1), 1)[:, 0] - 1  # [N], -1 for generating
    entries = pointed.tokens[torch.arange(len(chosen)), chosen.clamp(min=0)][:, :most_tokens]  # [N, L]
    entries = torch.where(entries == IGNORED_LABEL, pad, entries)
    length = max(sampled.shape[1], entries.shape[1])
    sampled, entries = (F.pad(tokens, (0, length - tokens.shape[1]), value=pad) for tokens in (sampled, entries))
    return torch.where((chosen < 0)[:, None], sampled, entries)
