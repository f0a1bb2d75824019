"""Stage I: content-grounded supervised fine-tuning (section 3.4.1, paper)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from training.checkpoint import CheckpointMeta, save_checkpoint
from training.config import SftConfig, to_dict
from training.data import Batch, PackedBatches, PackedExamples, drop_fields, file_hash, load_examples, plan_batches
from training.initial_model import load_initial_model
from training.loop import Progress, Stage, train
from training.losses import sft_loss, token_accuracy
from training.model import choose_device, target_logits
from training.tokenizer import special_token_ids
from training.validation import sample_validation, validate


def open_epoch(examples: PackedExamples, config: SftConfig, special: Mapping[str, int], epoch: int) -> PackedBatches:
    """Return the batches of one epoch, with fields blanked at random and [REJECT] examples weighted."""
    rng = np.random.default_rng((config.optim.seed, epoch))
    sources = drop_fields(examples.sources, examples.is_reject, config.field_dropout, special["sep"], rng)
    weights = np.where(examples.is_reject, config.reject_weight, 1.0).astype(np.float32)
    plan = plan_batches(sources.lengths, examples.targets.lengths, config.optim.batch_size, rng)
    return PackedBatches(sources, examples.targets, plan, special["pad"], special["eos"], weights)


def finetune(
    examples_dir: Path,
    out: Path,
    config: SftConfig,
    *,
    tokenizer: Path | None,
    init_from: Path | None,
    cache: Path,
    resume: bool,
) -> Progress:
    """Run Stage I over clicked queries and [REJECT] targets; the checkpoint with the best validation HR@8 is in `out`.

    Args:
        examples_dir: folder of examples.
        out: the checkpoint folder.
        config: of the stage.
        tokenizer: tokenizer.json of a new model.
        init_from: a checkpoint to start from instead.
        cache: folder of packed examples.
        resume: continue the run in `out`.

    Raises:
        TrainingError: see `load_initial_model`, `load_examples` and `training.loop.train`.
    """
    start = load_initial_model(init_from, tokenizer, config.model, config.render, config.optim.seed)
    model, words = start.model, start.tokenizer
    device = choose_device(config.runtime)
    device.prepare(model)
    special = special_token_ids(words)
    paths = [examples_dir / f"examples_{split}.parquet" for split in ("train", "valid")]
    examples, held_out = (
        load_examples(path, words, config.render, config.generation.max_new_tokens, cache) for path in paths
    )
    sample = sample_validation(held_out, config.validation, config.optim.seed)

    def save(metrics: Mapping[str, float], progress: Progress) -> None:
        training = {
            "stage": "sft",
            "config": to_dict(config),
            "init_from": start.origin,
            "steps": progress.step,
            "samples": progress.samples,
            "seconds": round(progress.seconds, 1),
            "data": {path.name: file_hash(path) for path in paths},
        }
        meta = CheckpointMeta(
            config.render,
            to_dict(config.generation),
            {"threshold": config.reject_threshold},
            special,
            training,
            {"validation": dict(metrics)},
        )
        save_checkpoint(out, model, words, meta)

    def loss(batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        logits, labels, weights = target_logits(model, batch)
        figures = {"accuracy": token_accuracy(logits, labels)}
        return sft_loss(logits, labels, weights, config.label_smoothing), figures

    stage = Stage(
        open_epoch=lambda epoch: open_epoch(examples, config, special, epoch),
        loss=loss,
        evaluate=lambda: validate(model, words, sample, config.generation, config.reject_threshold, device),
        selection="hr@8",
        save_best=save,
        evaluate_every_steps=config.validation.every_steps,
        patience=config.validation.patience,
        config=to_dict(config),
    )
    return train(model, stage, config.optim, config.runtime, device, out, resume)
