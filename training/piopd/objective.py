"""The objective of Stage III for one batch (eq. 16 and Algorithm 1, paper)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from training.batches import Batch
from training.generator import Generator
from training.losses import query_loss
from training.mixture import mixture_log_p, read_pointer, score_targets
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
    student: Generator,
    teacher: Generator,
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
        rollouts = sample_rollouts(student, x, states, most_tokens, config.rollout_temperature)
        student.train()
        posterior = replace(x, source=batch.posterior, source_mask=batch.posterior_mask)
        read = encode(teacher, posterior.source, posterior.source_mask)
        teacher_log_p = soften(next_token_log_p(teacher, posterior, read, rollouts), config.teacher.temperature)
    # Autocast keeps the bf16 copies of weights that it made without gradients.
    torch.clear_autocast_cache()

    embedded = student.model.encoder.embed_tokens(x.source)  # [B, S, D]
    states = encode(student, x.source, x.source_mask, embedded)
    student_log_p = next_token_log_p(student, x, states, rollouts)
    terms = _divergences(teacher_log_p, student_log_p, config)
    terms["sft"] = _clicked_loss(student, states, x)
    if weights.entropy:
        terms["entropy"] = negative_entropy(student_log_p)
    if weights.r_drop:
        again = encode(student, x.source, x.source_mask)
        terms["r_drop"] = r_drop(student_log_p, next_token_log_p(student, x, again, rollouts))
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


def next_token_log_p(model: Generator, batch: Batch, states: Tensor, prefixes: Rollouts) -> Tensor:
    """Return log p(w | prefix, x) of the whole mixture [P, V] behind the prefixes that count.

    Args:
        model: teacher or student.
        batch: its sources, and which of them each prefix has.
        states: [B, S, D] of its encoder.
        prefixes: of N trajectories.
    """
    logits = decoder_logits(
        model, states, batch.source_mask, batch.source_of, prefixes.decoder_input, prefixes.counts
    )  # [P, V]
    pointed = read_pointer(model, batch.source, batch.source_mask, states)
    of_targets = None if pointed is None else pointed.of(batch.source_of)
    return mixture_log_p(logits, of_targets, prefixes.decoder_input, prefixes.counts)


def _clicked_loss(student: Generator, states: Tensor, x: Batch) -> Tensor:
    scored = score_targets(student, x, states)
    return query_loss(scored.total, scored.lengths, x.weights)
