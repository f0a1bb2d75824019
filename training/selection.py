"""A checkpoint chosen from variants by their HR@8 on a validation day, without a training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.cached_arrays import file_hash
from training.config import ValidationConfig
from training.policy import Policy
from training.validation import sample_validation


def save_best(
    policy: Policy,
    out: Path,
    values: Sequence[float],
    set_to: Callable[[float], object],
    *,
    stage: str,
    name: str,
    record: Mapping[str, Any],
    validate_on: Path,
    validation: ValidationConfig | None,
    cache: Path | None,
    seed: int,
) -> tuple[float, dict[float, Mapping[str, float]]]:
    """Write the variant with the best HR@8 on the validation day.

    Args:
        policy: its model is measured and written.
        out: the checkpoint folder.
        values: one for each variant; of equal ones the first is kept.
        set_to: gives the model the weights of a value.
        stage: and `name`, of the value, in the training record.
        name: see `stage`.
        record: what else the training record has.
        validate_on: folder of examples.
        validation: how many clicks and rejects are measured; the defaults when None.
        cache: folder of packed examples; `.packed` in `validate_on` when None.
        seed: of the choice of examples.

    Returns:
        The value that was written, and the validation figures by value.

    Raises:
        DataError: see `load_examples`.
    """
    path = validate_on / "examples_valid.parquet"
    sample = sample_validation(policy.load_examples(path, cache), validation or ValidationConfig(), seed)
    measured: dict[float, Mapping[str, float]] = {}
    for value in values:
        set_to(value)
        measured[value] = policy.validate(sample)
    best = max(values, key=lambda value: measured[value]["hr@8"])
    set_to(best)
    training = {
        "stage": stage,
        name: best,
        "tried": {str(value): figures["hr@8"] for value, figures in measured.items()},
        "data": {"valid": file_hash(path)},
        **record,
    }
    policy.save(out, training, measured[best])
    return best, measured
