"""The mean of a foundation and its adaptation, weight by weight.

Adaptation to one shop forgets part of what many shops have taught. A model between the two keeps more of it, and is
often better on the shop as well (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoint import CheckpointMeta, load_checkpoint, save_checkpoint
from training.config import GenerationDefaults, RuntimeConfig, ValidationConfig, from_dict
from training.data import file_hash, load_examples
from training.errors import CheckpointError, ConfigError
from training.model import choose_device
from training.validation import sample_validation, validate


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
) -> dict[float, Mapping[str, float]]:
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
        The validation figures by share.

    Raises:
        CheckpointError: a folder is no checkpoint, or the two are of different shapes or tokenizers.
        ConfigError: no share, or one outside 0 to 1.
        DataError: see `load_examples`.
    """
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ConfigError(f"give shares between 0 and 1, not {list(shares)}")
    first, second = load_checkpoint(foundation), load_checkpoint(adapted)
    if first.tokenizer.to_str() != second.tokenizer.to_str():
        raise CheckpointError(
            f"{adapted} has another tokenizer than {foundation}; give a checkpoint that was adapted from it"
        )
    start, end = first.model.state_dict(), {name: value.clone() for name, value in second.model.state_dict().items()}
    if {name: value.shape for name, value in start.items()} != {name: value.shape for name, value in end.items()}:
        raise CheckpointError(
            f"{adapted} has other shapes than {foundation}; give a checkpoint that was adapted from it"
        )
    meta, model = second.meta, second.model
    device = choose_device(RuntimeConfig())
    device.prepare(model)
    generation = from_dict(GenerationDefaults, meta.generation)
    path = validate_on / "examples_valid.parquet"
    packed = cache or validate_on / ".packed"
    examples = load_examples(path, second.tokenizer, meta.render, generation.max_new_tokens, packed)
    sample = sample_validation(examples, validation or ValidationConfig(), seed)
    measured: dict[float, Mapping[str, float]] = {}
    for share in shares:
        model.load_state_dict(_between(start, end, share))
        measured[share] = validate(model, second.tokenizer, sample, generation, meta.reject_threshold, device)
    best = max(shares, key=lambda share: measured[share]["hr@8"])
    model.load_state_dict(_between(start, end, best))
    training = {
        "stage": "average",
        "share": best,
        "tried": {str(share): figures["hr@8"] for share, figures in measured.items()},
        "init_from": f"{first.meta.training.get('stage')} {foundation.name}",
        "data": {"valid": file_hash(path)},
        "foundation": dict(first.meta.training),
        "adapted": dict(meta.training),
    }
    record = CheckpointMeta(
        meta.render, meta.generation, meta.reject, meta.special_tokens, training, {"validation": measured[best]}
    )
    save_checkpoint(out, model, second.tokenizer, record)
    return measured


def _between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    return {name: torch.lerp(start[name], value, share) for name, value in end.items()}
