"""The mean of a foundation and its adaptation, weight by weight.

Adaptation to one shop forgets part of what many shops have taught. A model between the two keeps more of it, and is
often better on the shop as well (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoint import load_checkpoint
from training.config import RuntimeConfig, ValidationConfig
from training.errors import CheckpointError, ConfigError
from training.policy import load_policy
from training.positions import extend_positions
from training.selection import save_best


def average(
    foundation: Path,
    adapted: Path,
    out: Path,
    shares: Sequence[float],
    *,
    validate_on: Path,
    validation: ValidationConfig | None = None,
    cache: Path | None = None,
    seed: int = 17,
) -> tuple[float, dict[float, Mapping[str, float]]]:
    """Write the mean of two checkpoints whose share of `adapted` gives the best HR@8 on the validation day.

    Args:
        foundation: the checkpoint that `adapted` started from.
        adapted: its budgets, beam search and threshold are those of the result.
        out: the checkpoint folder.
        shares: of `adapted`, 0 to 1, to try; of equal ones the first is kept.
        validate_on: folder of examples.
        validation: how many clicks and rejects are measured; the defaults when None.
        cache: folder of packed examples; `.packed` in `validate_on` when None.
        seed: of the choice of examples.

    Returns:
        The share that was written, and the validation figures by share.

    Raises:
        CheckpointError: a folder is no checkpoint, or the two are of different shapes or tokenizers.
        ConfigError: no share, or one outside 0 to 1.
        DataError: see `load_examples`.
    """
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ConfigError(f"give shares between 0 and 1, not {list(shares)}")
    first, second = load_checkpoint(foundation), load_policy(adapted, 0.0, RuntimeConfig())
    if first.tokenizer.to_str() != second.tokenizer.to_str():
        raise CheckpointError(
            f"{adapted} has another tokenizer than {foundation}; give a checkpoint that was adapted from it"
        )
    model, device = second.model, second.device
    # An adaptation with longer sources was given more positions at its start.
    extend_positions(first.model, model.config.max_position_embeddings)
    # On one device, where `load_policy` has put the second model.
    start = {name: value.to(device.device) for name, value in first.model.state_dict().items()}
    end = {name: value.clone() for name, value in model.state_dict().items()}
    if {name: value.shape for name, value in start.items()} != {name: value.shape for name, value in end.items()}:
        raise CheckpointError(
            f"{adapted} has other shapes than {foundation}; give a checkpoint that was adapted from it"
        )
    record = {
        "init_from": f"{first.meta.training.get('stage')} {foundation.name}",
        "foundation": dict(first.meta.training),
        "adapted": dict(second.meta.training),
    }
    return save_best(
        second, out, shares, lambda share: model.load_state_dict(_between(start, end, share)), stage="average",
        name="share", record=record, validate_on=validate_on, validation=validation, cache=cache, seed=seed,
    )  # fmt: skip


def _between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    return {name: torch.lerp(start[name], value, share) for name, value in end.items()}
