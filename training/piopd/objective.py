"""The objective of Stage III for one batch (eq. 16 and Algorithm 1, paper)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import BartForConditionalGeneration

from training.batches import IGNORED_LABEL, Batch
from training.losses import sft_loss
from training.model import decoder_logits, encode
from training.piopd.losses import (
    adversarial_step,
    constrained,
    forward_kl,
    jensen_shannon,
    negative_entropy,
    on_support,
    r_drop,
    reverse_kl,
    soften,
)
from training.piopd.posterior import PosteriorBatch
from training.piopd.rollouts import Rollouts, sample_rollouts
from training.policy_config import PiopdConfig

_CKD_SUPPORT = 16


def piopd_loss(
    student: BartForConditionalGeneration,
    teacher: BartForConditionalGeneration,
    batch: PosteriorBatch,
    config: PiopdConfig,
    most_tokens: int,
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Sample trajectories from the student, and compare it with the teacher on every prefix of them.

    Args:
        student: reads x; in training mode, with gradients.
        teacher: reads x+; frozen.
        batch: sources of both, and clicked targets.
        config: of the stage.
        most_tokens: tokens of a trajectory.

    Returns:
        The scalar objective, and its terms without their weights.
    """
    weights, x = config.weights, batch.student
    with torch.no_grad():
        student.train(False)
        states = encode(student, x.source, x.source_mask)
        rollouts = sample_rollouts(student, states, x.source_mask, x.source_of, most_tokens, config.rollout_temperature)
        student.train()
        teacher_log_p = soften(_teacher_logits(teacher, batch, rollouts), config.teacher.temperature)
    # Autocast keeps the bf16 copies of weights that it made without gradients.
    torch.clear_autocast_cache()

    embedded = student.model.encoder.embed_tokens(x.source)  # [B, S, D]
    states = encode(student, x.source, x.source_mask, embedded)
    student_log_p = _rollout_log_p(student, states, x, rollouts)
    terms = _divergences(teacher_log_p, student_log_p, config)
    terms["sft"] = _clicked_loss(student, states, x)
    if weights.entropy:
        terms["entropy"] = negative_entropy(student_log_p)
    if weights.r_drop:
        again = encode(student, x.source, x.source_mask)
        terms["r_drop"] = r_drop(student_log_p, _rollout_log_p(student, again, x, rollouts))
    if weights.fgm:
        (gradient,) = torch.autograd.grad(terms["sft"], embedded, retain_graph=True)
        pushed = encode(student, x.source, x.source_mask, embedded + adversarial_step(gradient, config.fgm_radius))
        terms["fgm"] = _clicked_loss(student, pushed, x)
    factors = {
        "forward_kl": weights.forward_kl, "reverse_kl": weights.reverse_kl, "jsd": 1.0, "ckd": 1.0,
        "sft": weights.sft, "entropy": weights.entropy, "r_drop": weights.r_drop, "fgm": weights.fgm,
    }  # fmt: skip
    total = torch.stack([factors[name] * term for name, term in terms.items()]).sum()
    return total, terms


def _divergences(teacher: Tensor, student: Tensor, config: PiopdConfig) -> dict[str, Tensor]:
    if config.objective == "ckd":
        return {"ckd": constrained(teacher, student, config.top_k or _CKD_SUPPORT)}
    teacher, student = on_support(teacher, student, config.top_k)
    if config.objective == "jsd":
        return {"jsd": jensen_shannon(teacher, student)}
    return {"forward_kl": forward_kl(teacher, student), "reverse_kl": reverse_kl(teacher, student)}


def _teacher_logits(teacher: BartForConditionalGeneration, batch: PosteriorBatch, rollouts: Rollouts) -> Tensor:
    states = encode(teacher, batch.posterior, batch.posterior_mask)
    source_of = batch.student.source_of
    return decoder_logits(
        teacher, states, batch.posterior_mask, source_of, rollouts.decoder_input, rollouts.counts
    )  # [P, V]


def _rollout_log_p(student: BartForConditionalGeneration, states: Tensor, x: Batch, rollouts: Rollouts) -> Tensor:
    logits = decoder_logits(student, states, x.source_mask, x.source_of, rollouts.decoder_input, rollouts.counts)
    return soften(logits, 1.0)  # [P, V]


def _clicked_loss(student: BartForConditionalGeneration, states: Tensor, x: Batch) -> Tensor:
    counts = x.labels != IGNORED_LABEL  # [N, T]
    logits = decoder_logits(student, states, x.source_mask, x.source_of, x.decoder_input, counts)
    return sft_loss(logits, x.labels[counts], x.weights[:, None].expand_as(x.labels)[counts])
