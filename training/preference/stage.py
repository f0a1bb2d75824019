"""Stage II: list-wise alignment with behaviour feedback (section 3.4.2, paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.cached_arrays import file_hash
from training.config import to_dict
from training.generator import Generator
from training.loop import train
from training.mixture import score_batch
from training.optimizer import batches_in_step
from training.policy import load_policy
from training.policy_config import PreferenceConfig
from training.preference.lists import ListBatch, ListBatches, PackedLists, list_batches, load_lists
from training.preference.losses import anchors_of, listwise_preference_loss
from training.record import stage_record
from training.run_state import Progress
from training.stage import Stage
from training.tokenizer import special_token_ids
from training.validation import sample_validation

_VALIDATION_LISTS = 512


def align(
    shops: Sequence[Path],
    out: Path,
    config: PreferenceConfig,
    *,
    init_from: Path,
    validate_on: Path,
    cache: Path | None = None,
    resume: bool = False,
) -> Progress:
    """Run Stage II; the checkpoint with the best validation HR@8 is in `out`, the starting one included.

    Args:
        shops: folders of behaviour lists.
        out: the checkpoint folder.
        config: of the stage.
        init_from: the checkpoint of Stage I. The policy starts from it, and the reference stays there.
        validate_on: folder of examples whose validation day is measured.
        cache: folder of packed lists and examples; `.packed` beside each when None.
        resume: continue the run in `out`.

    Raises:
        TrainingError: see `load_policy`, `load_lists`, `load_examples` and `training.loop.train`.
    """
    policy = load_policy(init_from, config.dropout, config.runtime)
    reference = policy.frozen_copy()
    special = special_token_ids(policy.tokenizer)
    seed, together = config.optim.seed, batches_in_step(config.optim, policy.device)
    train_paths = [folder / "lists_train.parquet" for folder in shops]
    valid_path, examples_path = shops[0] / "lists_valid.parquet", validate_on / "examples_valid.parquet"

    def load(path: Path) -> PackedLists:
        packed = cache or path.parent / ".packed"
        return load_lists(path, policy.tokenizer, policy.meta.render, policy.generation.max_new_tokens, packed)

    lists = PackedLists.join([load(path) for path in train_paths])
    held_out = list_batches(load(valid_path), special, config.optim.batch_size, np.random.default_rng(seed))
    held_out_batches = range(min(len(held_out), -(-_VALIDATION_LISTS // config.optim.batch_size)))
    sample = sample_validation(policy.load_examples(examples_path, cache), config.validation, seed)

    data = [file_hash(path) for path in (*train_paths, valid_path, examples_path)]

    def epoch(number: int) -> ListBatches:
        rng = np.random.default_rng((seed, number))
        return list_batches(lists, special, config.optim.batch_size, rng, together)

    def loss(batch: ListBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        return preference_loss(policy.model, reference, batch, config)

    def evaluate() -> Mapping[str, float]:
        measured = policy.validate(sample)
        sums: dict[str, float] = {}
        with torch.inference_mode(), policy.device.autocast():
            for index in held_out_batches:
                _, figures = loss(held_out[index].to(policy.device.device))
                for name, value in figures.items():
                    sums[f"lists_{name}"] = sums.get(f"lists_{name}", 0.0) + float(value) / len(held_out_batches)
        return {**measured, **sums}

    stage = Stage(
        open_epoch=epoch,
        loss=loss,
        evaluate=evaluate,
        selection="hr@8",
        save_best=lambda metrics, progress: policy.save(
            out,
            stage_record("preference", config, policy.origin, data, progress),
            metrics,
        ),
        evaluate_every_steps=config.validation.every_steps,
        patience=config.validation.patience,
        config=to_dict(config),
        data=data,
        evaluate_start=True,
    )
    return train(policy.model, stage, config.optim, config.runtime, policy.device, out, resume)


def preference_loss(
    policy: Generator,
    reference: Generator,
    batch: ListBatch,
    config: PreferenceConfig,
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Return the objective of eq. (10), paper, for one batch, and its parts.

    Args:
        policy: the model that learns.
        reference: where it started; frozen.
        batch: lists. The candidates of a list share one encoding of their source.
        config: of the stage.
    """
    with torch.no_grad():
        reference_log_p = score_batch(reference, batch.candidates).total
    # Autocast keeps the bf16 copies of weights that it made without gradients.
    torch.clear_autocast_cache()
    scored = score_batch(policy, batch.candidates)
    log_p = scored.total  # [N], log pi(q | x) of the candidates
    source_of = batch.candidates.source_of
    if source_of is None:
        raise AssertionError("a list has at least two candidates")
    shape = (batch.candidates.source.shape[0], int(batch.place.max()) + 1)
    where = (source_of, batch.place)
    ratios = torch.zeros(shape, device=log_p.device).index_put(where, log_p - reference_log_p)  # [B, M]
    present = torch.zeros(shape, dtype=torch.bool, device=log_p.device).index_put(where, torch.ones_like(batch.clicked))
    clicked = torch.zeros_like(present).index_put(where, batch.clicked)
    loss, wins = listwise_preference_loss(ratios, present, clicked, config.beta, config.temperature)
    anchors = anchors_of(present, clicked)
    is_anchor = anchors[where]  # [N]
    sft = -log_p[is_anchor].sum() / scored.lengths[is_anchor].sum().clamp(min=1)
    figures = {"preference": loss, "sft": sft, "wins": wins, "clicked_log_ratio": ratios[anchors].mean()}
    return loss + config.sft_weight * sft, figures
