"""The list-wise preference loss as a pure function."""

from __future__ import annotations

import torch
from torch import Tensor

_NOTHING = -1e9
"""Log-mass of an empty place. It is finite, because the gradient of logcumsumexp at -inf is not a number."""


def anchors_of(present: Tensor, clicked: Tensor) -> Tensor:
    """Return bool [B, M], the clicked candidates that have a lower-ranked one, eq. (7), paper.

    Args:
        present: bool [B, M], False where a list is padded, on the right.
        clicked: bool [B, M], levels 1 to 4.
    """
    below = torch.zeros_like(present)
    below[:, :-1] = present[:, 1:]
    return clicked & present & below


def listwise_preference_loss(
    log_ratios: Tensor, present: Tensor, clicked: Tensor, beta: float, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the loss of eq. (8) and (9), paper, and the share of anchors that win their comparison.

    An anchor is a clicked candidate with a lower-ranked one. It is compared with its whole lower suffix at once:
    P_i = exp(s_i) / (exp(s_i) + sum_{j ranked below i} exp(s_j)), with s = beta * log_ratio / temperature.

    Args:
        log_ratios: [B, M], r_i = log pi(q_i | x) - log pi_ref(q_i | x), eq. (6); best candidate first, one a level.
        present: bool [B, M], False where a list is padded, on the right.
        clicked: bool [B, M], levels 1 to 4.
        beta: scale of the log-ratio.
        temperature: tau, of the softmax.

    Returns:
        The scalar mean over lists of the mean over their anchors of -log P_i (0 without any anchor), and a scalar in
        0 to 1: the share of anchors whose log-ratio is above that of every lower-ranked candidate.
    """
    scores = (beta / temperature * log_ratios.float()).masked_fill(~present, _NOTHING)  # [B, M]
    suffix = scores.flip(1).logcumsumexp(1).flip(1)  # [B, M], log of the mass at i and below
    anchors = anchors_of(present, clicked)
    lists = anchors.any(dim=1)
    losses = (suffix - scores).masked_fill(~anchors, 0.0).sum(dim=1) / anchors.sum(dim=1).clamp(min=1)  # [B]
    loss = losses.sum() / lists.sum().clamp(min=1)
    best_below = torch.full_like(scores, _NOTHING)
    best_below[:, :-1] = scores.flip(1).cummax(1).values.flip(1)[:, 1:]
    wins = ((scores > best_below) & anchors).sum() / anchors.sum().clamp(min=1)
    return loss, wins
