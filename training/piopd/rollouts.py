"""Trajectories that the student samples (Algorithm 1, paper)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import BartForConditionalGeneration
from transformers.cache_utils import DynamicCache, EncoderDecoderCache


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
    model: BartForConditionalGeneration,
    states: Tensor,
    mask: Tensor | None,
    source_of: Tensor | None,
    most_tokens: int,
    temperature: float,
) -> Rollouts:
    """Sample one trajectory for each target, by the torch generator of the process.

    Args:
        model: the student, in evaluation mode.
        states: [B, S, D] of its encoder.
        mask: int64 [B, S] or None.
        source_of: int64 [N], the source of each trajectory; None for one a source.
        most_tokens: tokens after which a trajectory is cut.
        temperature: of the sampling.
    """
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
    inputs, tokens, counts = [], [], []
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
        inputs.append(token)
        counts.append(~ended)
        token = torch.where(ended[:, None], pad, drawn)
        tokens.append(token)
        ended = ended | (token[:, 0] == eos)
        if bool(ended.all()):
            break
    return Rollouts(torch.cat(inputs, dim=1), torch.cat(tokens, dim=1), torch.stack(counts, dim=1))
