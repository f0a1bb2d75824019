"""Stage I: content-grounded supervised fine-tuning (section 3.4.1, paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from training.augmentation import (
    Alphabet,
    drop_needless_histories,
    remove_answers,
    substitute_words,
    weaken_evidence,
)
from training.batches import Batch, PackedBatches, drop_fields, plan_batches, share_sources
from training.cached_arrays import file_hash
from training.checkpoint import CheckpointMeta, save_checkpoint
from training.config import SftConfig, to_dict
from training.copying_probe import copy_accuracy, make_probe
from training.data import PackedExamples, load_examples
from training.errors import ConfigError
from training.initial_model import load_initial_model
from training.loop import train
from training.losses import query_loss
from training.mixture import score_batch
from training.model import choose_device
from training.optimizer import batches_in_step
from training.record import stage_record
from training.run_state import Progress
from training.stage import Stage
from training.tokenizer import special_token_ids
from training.validation import sample_validation, validate, weak_batch, weak_rejected


def open_epoch(
    examples: PackedExamples,
    config: SftConfig,
    alphabet: Alphabet,
    epoch: int,
    together: int = 1,
) -> PackedBatches:
    """Return the batches of one epoch, or of one part of it.

    Sources are shared, and changed at random: fields blanked, answers removed, words substituted, evidence weakened.
    [REJECT] examples are weighted.

    Args:
        examples: of all shops.
        config: of the stage.
        alphabet: of the tokenizer.
        epoch: its number, which with the seed decides everything.
        together: batches of a step; see `plan_batches`.
    """
    examples = _part_of(examples, config, epoch)
    rng = np.random.default_rng((config.optim.seed, epoch))
    special, rates = alphabet.special, config.field_dropout
    sep = special["sep"]
    personal = examples.has_personal(sep)
    removed = (rng.random(len(examples)) < config.answer_removal) & ~examples.is_reject
    alone = (personal & (rng.random(len(examples)) >= rates.personal)) | removed
    rows_of = share_sources(examples.evidence, alone, config.targets_per_source, rng)
    first = rows_of.values[rows_of.offsets[:-1]].astype(np.int64)
    sources = drop_fields(
        examples.sources.take(first), examples.is_reject[first], personal[first] & ~alone[first], rates, sep, rng
    )
    removals = np.flatnonzero(removed[first])
    sources = remove_answers(sources, examples.targets, rows_of, removals, special, alphabet.between)
    substituted = np.flatnonzero((rng.random(len(first)) < config.substitution) & ~examples.is_reject[first])
    longest = (config.render.max_source_tokens, config.generation.max_new_tokens)
    sources, targets = substitute_words(sources, examples.targets, rows_of, substituted, alphabet, longest, rng)
    draws = rng.random(len(first))
    weakened = np.flatnonzero((draws < config.weak_evidence) & ~examples.is_reject[first])
    unknown = np.flatnonzero((draws >= 1 - config.unknown_words) & ~examples.is_reject[first])
    sources, unknown = drop_needless_histories(sources, targets, rows_of, unknown, alphabet)
    sources, targets = substitute_words(sources, targets, rows_of, unknown, alphabet, longest, rng, unknown=True)
    sources, targets = weaken_evidence(sources, targets, rows_of, weakened, alphabet, rng)
    lengths = targets.lengths
    longest_targets = np.maximum.reduceat(lengths[rows_of.values], rows_of.offsets[:-1])
    plan = plan_batches(sources.lengths, longest_targets, config.optim.batch_size, rng, rows_of.lengths, together)
    weights = np.where(examples.is_reject, config.reject_weight, 1.0).astype(np.float32)
    return PackedBatches(sources, targets, plan, special["pad"], special["eos"], rows_of, weights)


def _part_of(examples: PackedExamples, config: SftConfig, epoch: int) -> PackedExamples:
    """Return the examples of one epoch. Parts are drawn again in each pass; rows that may share a source stay together.

    An epoch is changed row by row in Python, so with many shops its first step would wait for minutes.

    Raises:
        ConfigError: `epoch_examples` is below 1.
    """
    if config.epoch_examples < 1:
        raise ConfigError(f"epoch_examples must be at least 1, got {config.epoch_examples}")
    parts = max(1, round(len(examples) / config.epoch_examples))
    if parts == 1:
        return examples
    rng = np.random.default_rng((config.optim.seed, epoch // parts, parts))
    part_of = rng.permutation(int(examples.evidence.max()) + 1) % parts
    return examples.subset(np.flatnonzero(part_of[examples.evidence] == epoch % parts))


def finetune(
    shops: Sequence[Path],
    out: Path,
    config: SftConfig,
    *,
    tokenizer: Path | None,
    init_from: Path | None,
    validate_on: Path | None = None,
    cache: Path | None = None,
    resume: bool = False,
) -> Progress:
    """Run Stage I over clicked queries and [REJECT] targets; the checkpoint with the best validation HR@8 is in `out`.

    Args:
        shops: folders of examples. With several, the model cannot learn one shop's brands and habits by heart.
        out: the checkpoint folder.
        config: of the stage.
        tokenizer: tokenizer.json of a new model.
        init_from: a checkpoint to start from instead.
        validate_on: folder of examples whose validation day is measured; the first of `shops` when None.
        cache: folder of packed examples; `.packed` in each folder when None.
        resume: continue the run in `out`.

    Raises:
        TrainingError: see `load_initial_model`, `load_examples` and `training.loop.train`.
    """
    start = load_initial_model(init_from, tokenizer, config.model, config.render, config.optim.seed)
    model, words = start.model, start.tokenizer
    device = choose_device(config.runtime)
    device.prepare(model)
    special = special_token_ids(words)
    train_paths = [folder / "examples_train.parquet" for folder in shops]
    valid_path = (validate_on or shops[0]) / "examples_valid.parquet"

    def load(path: Path) -> PackedExamples:
        packed = cache or path.parent / ".packed"
        return load_examples(path, words, config.render, config.generation.max_new_tokens, packed)

    examples = PackedExamples.join([load(path) for path in train_paths])
    held_out = load(valid_path)
    together = batches_in_step(config.optim, device)
    sample = sample_validation(held_out, config.validation, config.optim.seed)
    alphabet = Alphabet.of(words)
    probe = make_probe(alphabet, config.optim.seed)
    weak = weak_batch(sample, alphabet, config.optim.seed)

    trained_on, validated_on = [file_hash(path) for path in train_paths], file_hash(valid_path)

    def save(metrics: Mapping[str, float], progress: Progress) -> None:
        data = {"train": trained_on, "valid": validated_on}
        meta = CheckpointMeta(
            config.render,
            to_dict(config.generation),
            {"threshold": config.reject_threshold},
            special,
            stage_record("sft", config, start.origin, data, progress),
            {"validation": dict(metrics)},
        )
        save_checkpoint(out, model, words, meta)

    def loss(batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        scored = score_batch(model, batch, config.label_smoothing)
        loss = query_loss(scored.total, scored.lengths, batch.weights)
        return loss, {"accuracy": scored.correct, "pointed": scored.pointed}

    def evaluate() -> Mapping[str, float]:
        measured = validate(model, words, sample, config.generation, config.reject_threshold, device)
        measured["copy_accuracy"] = copy_accuracy(model, probe, device)
        if weak is not None:
            measured["weak_rejected"] = weak_rejected(model, weak, config.reject_threshold, device)
        return measured

    stage = Stage(
        open_epoch=lambda epoch: open_epoch(examples, config, alphabet, epoch, together),
        loss=loss,
        evaluate=evaluate,
        selection="hr@8",
        save_best=save,
        evaluate_every_steps=config.validation.every_steps,
        patience=config.validation.patience,
        config=to_dict(config),
        data=[*trained_on, validated_on],
    )
    return train(model, stage, config.optim, config.runtime, device, out, resume)
