"""Losses as pure functions of logits and labels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_LEAST = 1e-12
"""A batch whose targets all have the weight 0 has the loss 0."""


def sft_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
    """Return the next-token loss of eq. (5), paper: the weighted mean of -log p(q_t | q_<t, x) over target tokens.

    It applies to D_pos and D_rej alike; a [REJECT] target is an ordinary token here.

    Args:
        logits: [tokens, vocabulary], only the positions that count (no padding); any float dtype, summed in fp32.
        labels: [tokens] int64, the target token.
        weights: [tokens], or None for ones; every token of a target has the weight of the target.
        label_smoothing: share of the target probability that is spread evenly over the vocabulary.

    Returns:
        A scalar: sum(weight * loss) / sum(weight).
    """
    losses = F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=label_smoothing)
    if weights is None:
        return losses.mean()
    weights = weights.float()
    total: Tensor = (losses * weights).sum() / weights.sum().clamp(min=_LEAST)
    return total


def query_loss(log_p: Tensor, lengths: Tensor, weights: Tensor) -> Tensor:
    """Return the loss of eq. (5), paper, from the log-probabilities of whole queries; per target token, as `sft_loss`.

    Args:
        log_p: fp32 [N], log p(q | x).
        lengths: [N], tokens of each query.
        weights: fp32 [N].

    Returns:
        A scalar: -sum(weight * log_p) / sum(weight * length).
    """
    total: Tensor = -(weights * log_p).sum() / (weights * lengths).sum().clamp(min=_LEAST)
    return total


def token_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of positions whose most likely token is the label; logits [tokens, vocabulary], a scalar."""
    return (logits.argmax(dim=-1) == labels).float().mean()
