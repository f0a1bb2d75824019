"""Configuration of Stages II and III. Budgets, beam search and threshold are those of the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.config import FieldDropout, OptimConfig, RuntimeConfig, ValidationConfig


@dataclass(frozen=True, slots=True)
class PreferenceConfig:
    """The whole configuration of Stage II.

    Attributes:
        beta: scale of the log-ratio of policy and reference.
        temperature: of the softmax over a list.
        sft_weight: lambda of eq. (10), of the Stage I loss on clicked candidates.
        dropout: of the policy; the reference has none.
    """

    optim: OptimConfig = field(default_factory=OptimConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    beta: float = 0.1
    temperature: float = 1.0
    sft_weight: float = 1.0
    dropout: float = 0.0


Construction = Literal["append", "histories", "random", "masked_random"]
"""How the teacher's source is made; see training/piopd/posterior.py."""

Objective = Literal["kl", "jsd", "ckd"]
"""kl: forward and reverse with their weights; jsd: Jensen-Shannon; ckd: constrained, training/piopd/losses.py."""


@dataclass(frozen=True, slots=True)
class DistillationWeights:
    """Weights of the terms of eq. (16). `entropy`, `r_drop` and `fgm` are not computed where their weight is 0."""

    forward_kl: float = 0.5
    reverse_kl: float = 0.7
    sft: float = 1.0
    entropy: float = 0.01
    r_drop: float = 0.1
    fgm: float = 0.1


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """The teacher of Stage III.

    Attributes:
        construction: how its source is made.
        temperature: divides its logits; over 1 softens it.
        mask_ratio: share of the words of a clicked query that `masked_random` masks.
        ema_every_steps: steps after which it moves towards the student; 0 keeps it frozen, as the paper does.
        ema_decay: share of its weights that each move keeps.
    """

    construction: Construction = "random"
    temperature: float = 1.2
    mask_ratio: float = 0.3
    ema_every_steps: int = 0
    ema_decay: float = 0.99


@dataclass(frozen=True, slots=True)
class PiopdConfig:
    """The whole configuration of Stage III.

    Attributes:
        objective: the divergence between teacher and student.
        top_k: tokens of the teacher on which they are compared; 0 is the whole vocabulary.
        fgm_radius: length of the adversarial step on the embedding of each source.
        rollout_temperature: of the sampling of trajectories.
        diagnostic_examples: validation clicks on which teacher and student are compared.
        targets_per_source, substitution, answer_removal, reject_weight: as in Stage I.
        dropout: of the student; R-Drop needs some.
    """

    optim: OptimConfig = field(default_factory=OptimConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    field_dropout: FieldDropout = field(default_factory=FieldDropout)
    weights: DistillationWeights = field(default_factory=DistillationWeights)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    objective: Objective = "kl"
    top_k: int = 0
    fgm_radius: float = 0.5
    rollout_temperature: float = 1.0
    diagnostic_examples: int = 256
    targets_per_source: int = 8
    substitution: float = 0.0
    answer_removal: float = 0.0
    reject_weight: float = 1.0
    dropout: float = 0.1
