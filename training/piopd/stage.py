"""Stage III: PIOPD (section 3.4.3, paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.augmentation import Alphabet
from training.batches import IGNORED_LABEL, PackedBatches
from training.cached_arrays import file_hash
from training.config import SftConfig, to_dict
from training.data import PackedExamples
from training.generator import Generator
from training.loop import train
from training.model import encode
from training.optimizer import batches_in_step
from training.piopd.diagnostics import compare_distributions, gold_outside
from training.piopd.objective import next_token_log_p, piopd_loss
from training.piopd.posterior import PosteriorBatch, PosteriorBatches
from training.piopd.rollouts import Rollouts, sample_rollouts
from training.policy import Policy, load_policy
from training.policy_config import PiopdConfig
from training.record import stage_record
from training.run_state import Progress
from training.sft import open_epoch
from training.stage import Stage
from training.validation import generate, hypothesis_rank, sample_validation

_BATCH = 64


def distill(
    shops: Sequence[Path],
    out: Path,
    config: PiopdConfig,
    *,
    init_from: Path,
    validate_on: Path | None = None,
    cache: Path | None = None,
    resume: bool = False,
) -> Progress:
    """Run Stage III; the checkpoint with the best validation HR@8 is in `out`, the starting one included.

    Args:
        shops: folders of examples.
        out: the checkpoint folder.
        config: of the stage.
        init_from: the checkpoint from which student and teacher start, of Stage II or of Stage I.
        validate_on: folder of examples whose validation day is measured; the first of `shops` when None.
        cache: folder of packed examples; `.packed` in each folder when None.
        resume: continue the run in `out`.

    Raises:
        TrainingError: see `load_policy`, `load_examples` and `training.loop.train`.
    """
    policy = load_policy(init_from, config.dropout, config.runtime)
    teacher = policy.frozen_copy()
    teacher.register_buffer("ema_steps", torch.zeros((), dtype=torch.int64))
    train_paths = [folder / "examples_train.parquet" for folder in shops]
    valid_path = (validate_on or shops[0]) / "examples_valid.parquet"
    examples = PackedExamples.join([policy.load_examples(path, cache) for path in train_paths])
    held_out = policy.load_examples(valid_path, cache)
    together = batches_in_step(config.optim, policy.device)
    seed, longest = config.optim.seed, policy.meta.render.max_source_tokens
    alphabet = Alphabet.of(policy.tokenizer)
    sample = sample_validation(held_out, config.validation, seed)
    compared = _diagnostic_batches(held_out, config, alphabet, longest)
    epoch_config = _epoch_config(config, policy)
    most_tokens = policy.generation.max_new_tokens
    teacher_hits: list[float] = []
    data = [file_hash(path) for path in (*train_paths, valid_path)]

    def epoch(number: int) -> PosteriorBatches:
        packed = open_epoch(examples, epoch_config, alphabet, number, together)
        return PosteriorBatches(packed, config.teacher, alphabet, longest, (seed, number))

    def loss(batch: PosteriorBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        return piopd_loss(policy.model, teacher, batch, config, most_tokens)

    def evaluate() -> Mapping[str, float]:
        measured = policy.validate(sample)
        if not teacher_hits or config.teacher.ema_every_steps:
            teacher_hits.append(_teacher_hit_rate(teacher, policy, compared))
        return {**measured, "teacher_hr@8": teacher_hits[-1], **_diagnose(teacher, policy, compared)}

    stage = Stage(
        open_epoch=epoch,
        loss=loss,
        evaluate=evaluate,
        selection="hr@8",
        save_best=lambda metrics, progress: policy.save(
            out, stage_record("piopd", config, policy.origin, data, progress), metrics
        ),
        evaluate_every_steps=config.validation.every_steps,
        patience=config.validation.patience,
        config=to_dict(config),
        data=data,
        evaluate_start=True,
        companion=teacher,
        before_step=lambda: _follow(teacher, policy.model, config),
    )
    return train(policy.model, stage, config.optim, config.runtime, policy.device, out, resume)


def _epoch_config(config: PiopdConfig, policy: Policy) -> SftConfig:
    """Return the settings by which Stage I makes an epoch: the student reads the same sources."""
    return SftConfig(
        optim=config.optim,
        field_dropout=config.field_dropout,
        render=policy.meta.render,
        generation=policy.generation,
        targets_per_source=config.targets_per_source,
        substitution=config.substitution,
        answer_removal=config.answer_removal,
        weak_evidence=0.0,
        unknown_words=0.0,
        reject_weight=config.reject_weight,
    )


@torch.no_grad()
def _follow(teacher: Generator, student: Generator, config: PiopdConfig) -> None:
    """Move an EMA teacher towards the student after every `ema_every_steps` steps."""
    every = config.teacher.ema_every_steps
    if not every:
        return
    steps = teacher.get_buffer("ema_steps")
    if int(steps) and int(steps) % every == 0:
        for kept, new in zip(teacher.parameters(), student.parameters(), strict=True):
            kept.lerp_(new, 1 - config.teacher.ema_decay)
    steps += 1


def _diagnostic_batches(
    held_out: PackedExamples, config: PiopdConfig, alphabet: Alphabet, longest: int
) -> PosteriorBatches:
    """Return a fixed sample of validation clicks, sorted by length, with the teacher's sources."""
    seed = config.optim.seed
    clicks = np.flatnonzero(~held_out.is_reject)
    clicks = np.random.default_rng(seed).permutation(clicks)[: config.diagnostic_examples]
    chosen = held_out.subset(clicks[np.argsort(held_out.sources.lengths[clicks], kind="stable")])
    plan = [np.arange(start, min(start + _BATCH, len(chosen))) for start in range(0, len(chosen), _BATCH)]
    packed = PackedBatches(chosen.sources, chosen.targets, plan, alphabet.special["pad"], alphabet.special["eos"])
    return PosteriorBatches(packed, config.teacher, alphabet, longest, (seed,))


def _teacher_hit_rate(teacher: Generator, policy: Policy, batches: PosteriorBatches) -> float:
    """Return HR@8 of the teacher reading x+ (Table 5, paper)."""
    hits, clicks = 0, 0
    reject = policy.meta.special_tokens["reject"]
    with torch.inference_mode(), policy.device.autocast():
        for index, rows in enumerate(batches.packed.plan):
            batch = batches[index].to(policy.device.device)
            found = generate(teacher, batch.posterior, batch.posterior_mask, policy.generation)
            for row, hypotheses in zip(rows.tolist(), found, strict=True):
                target = batches.packed.targets[row][:-1].tolist()
                hits += hypothesis_rank(policy.tokenizer, target, hypotheses, reject) > 0
                clicks += 1
    return hits / max(clicks, 1)


def _diagnose(teacher: Generator, policy: Policy, batches: PosteriorBatches) -> dict[str, float]:
    """Compare teacher and student on rollouts, and on the prefixes of the clicked queries."""
    sums: dict[str, float] = {}
    student = policy.model
    with torch.random.fork_rng(), torch.inference_mode(), policy.device.autocast():
        torch.manual_seed(0)
        for index in range(len(batches)):
            batch = batches[index].to(policy.device.device)
            x = batch.student
            states = encode(student, x.source, x.source_mask)
            read = encode(teacher, batch.posterior, batch.posterior_mask)
            posterior = replace(x, source=batch.posterior, source_mask=batch.posterior_mask)
            rollouts = sample_rollouts(student, x, states, policy.generation.max_new_tokens, 1.0)
            gold = Rollouts(x.decoder_input, x.labels, x.labels != IGNORED_LABEL)
            figures = compare_distributions(
                next_token_log_p(teacher, posterior, read, rollouts), next_token_log_p(student, x, states, rollouts)
            )
            figures["gold_outside"] = gold_outside(
                next_token_log_p(teacher, posterior, read, gold),
                next_token_log_p(student, x, states, gold),
                x.labels[gold.counts],
            )
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value / len(batches)
    return sums
