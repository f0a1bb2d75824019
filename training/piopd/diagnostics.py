"""How teacher and student differ on a fixed validation sample (Figure 4, paper)."""

from __future__ import annotations

import torch
from torch import Tensor

HEAD, SUPPORT = 10, 16
"""Tokens of the head, beyond which mass counts as tail, and of the top-k support that is compared."""


def compare_distributions(teacher: Tensor, student: Tensor) -> dict[str, float]:
    """Return means over the positions of student rollouts.

    Args:
        teacher: log-probabilities [P, V], not softened.
        student: log-probabilities [P, V].

    Returns:
        Entropy (nats), top-1 mass and tail mass beyond the top 10 of both; the overlap of their top 16; the student's
        mass outside the teacher's top 16.
    """
    figures: dict[str, Tensor] = {}
    for name, log_p in (("teacher", teacher), ("student", student)):
        p = log_p.exp()
        figures[f"{name}_entropy"] = -(p * log_p).sum(dim=-1).mean()
        figures[f"{name}_top1_mass"] = p.amax(dim=-1).mean()
        figures[f"{name}_tail_mass"] = (1 - p.topk(min(HEAD, p.shape[-1]), dim=-1).values.sum(dim=-1)).mean()
    in_teacher, in_student = _support(teacher), _support(student)
    support = min(SUPPORT, teacher.shape[-1])
    figures["support_overlap"] = (in_teacher & in_student).sum(dim=-1).float().mean() / support
    figures["student_mass_outside"] = (student.exp() * ~in_teacher).sum(dim=-1).mean()
    return {name: float(value) for name, value in figures.items()}


def gold_outside(teacher: Tensor, student: Tensor, labels: Tensor) -> float:
    """Return the share of gold tokens [P] in the student's top 16 and outside the teacher's, of [P, V] each."""
    rows = torch.arange(len(labels), device=labels.device)
    outside = _support(student)[rows, labels] & ~_support(teacher)[rows, labels]
    return float(outside.float().mean())


def _support(log_p: Tensor) -> Tensor:
    """Return bool [P, V], whether a token is among the most probable ones of its position."""
    tokens = log_p.topk(min(SUPPORT, log_p.shape[-1]), dim=-1).indices
    return torch.zeros_like(log_p, dtype=torch.bool).scatter_(-1, tokens, True)
