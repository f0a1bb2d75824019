"""Terms of the Stage III objective as pure functions of logits.

Logits are [P, V]: P positions that count, V the vocabulary. Sums are in fp32. Each function returns a scalar, the mean
over positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Return log-probabilities [P, V] of logits divided by a temperature (p_T of eq. 13)."""
    return F.log_softmax(logits.float() / temperature, dim=-1)


def on_support(teacher: Tensor, student: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Keep the teacher's `top_k` tokens of each position, renormalised; 0 keeps all.

    Args:
        teacher: log-probabilities [P, V].
        student: log-probabilities [P, V].
        top_k: tokens to keep.

    Returns:
        Both as log-probabilities [P, top_k].
    """
    if not top_k or top_k >= teacher.shape[-1]:
        return teacher, student
    kept, tokens = teacher.topk(top_k, dim=-1)
    return F.log_softmax(kept, dim=-1), F.log_softmax(student.gather(-1, tokens), dim=-1)


def forward_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(p_T || p_S) of log-probabilities [P, K]; it asks the student to cover what the teacher allows."""
    return (teacher.exp() * (teacher - student)).sum(dim=-1).mean()


def reverse_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(p_S || p_T) of log-probabilities [P, K]; it asks the student to leave what the teacher excludes."""
    return (student.exp() * (student - teacher)).sum(dim=-1).mean()


def jensen_shannon(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of log-probabilities [P, K], at most log 2."""
    middle = torch.logaddexp(teacher, student) - torch.log(torch.tensor(2.0))  # [P, K]
    return 0.5 * (forward_kl(teacher, middle) + forward_kl(student, middle))


def constrained(teacher: Tensor, student: Tensor, top_k: int) -> Tensor:
    """Return forward KL on the teacher's support, and the student's mass outside it as a penalty.

    The paper adapts "constrained knowledge distillation" without a formula. This is a reading of it: inside the top
    `top_k` tokens of the teacher the student matches it, outside it is pushed out by -log(mass inside).

    Args:
        teacher: log-probabilities [P, V].
        student: log-probabilities [P, V].
        top_k: tokens of the support.
    """
    tokens = teacher.topk(min(top_k, teacher.shape[-1]), dim=-1).indices
    inside = student.gather(-1, tokens).logsumexp(dim=-1)  # [P], log of the student's mass on the support
    return forward_kl(*on_support(teacher, student, top_k)) - inside.mean()


def negative_entropy(student: Tensor) -> Tensor:
    """Return sum_v p log p of log-probabilities [P, V], eq. (14); its minimum is the uniform distribution."""
    return (student.exp() * student).sum(dim=-1).mean()


def r_drop(first: Tensor, second: Tensor) -> Tensor:
    """Return the symmetric KL of two passes with independent dropout, log-probabilities [P, V], eq. (15)."""
    return 0.5 * (forward_kl(first, second) + forward_kl(second, first))


def adversarial_step(gradient: Tensor, radius: float) -> Tensor:
    """Return the FGM perturbation radius * g / |g| of each source, eq. (15).

    Args:
        gradient: [B, S, D], of the loss with respect to the embedded sources.
        radius: length of the step of one source.
    """
    lengths = gradient.float().flatten(1).norm(dim=1).clamp(min=1e-12)  # [B]
    step: Tensor = radius * gradient / lengths[:, None, None]
    return step
