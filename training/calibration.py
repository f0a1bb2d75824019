"""Calibration of the choice to generate: how much of the mixture the decoder has, and how much the pointer.

In the shops of its training a generator has learnt what to compose, so p(generate | x) is too high where it has not, in
an unseen shop. One number corrects a part of it, as one temperature corrects a classifier (Guo et al. 2017, "On
calibration of modern neural networks"). It is added to the pointer's bias, so serving stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from training.config import RuntimeConfig, ValidationConfig
from training.errors import CheckpointError, ConfigError
from training.policy import load_policy
from training.selection import save_best


def calibrate(
    checkpoint: Path,
    out: Path,
    shifts: Sequence[float],
    *,
    validate_on: Path,
    validation: ValidationConfig | None = None,
    cache: Path | None = None,
    seed: int = 17,
) -> tuple[float, dict[float, Mapping[str, float]]]:
    """Write a checkpoint whose log-odds of generating are shifted by what gives the best HR@8 on the validation day.

    Args:
        checkpoint: with a pointer.
        out: the checkpoint folder.
        shifts: to try, in nats; below 0 the entries of the source gain. Of equal ones the first is kept.
        validate_on: folder of examples that the checkpoint was not trained on.
        validation: how many clicks and rejects are measured; the defaults when None.
        cache: folder of packed examples; `.packed` in `validate_on` when None.
        seed: of the choice of examples.

    Returns:
        The shift that was written, and the validation figures by shift.

    Raises:
        CheckpointError: the folder is no checkpoint, or its model has no pointer.
        ConfigError: no shift.
        DataError: see `load_examples`.
    """
    if not shifts:
        raise ConfigError("give a shift to try")
    policy = load_policy(checkpoint, 0.0, RuntimeConfig())
    pointer = policy.model.pointer
    if pointer is None:
        raise CheckpointError(f"{checkpoint} has no pointer, so there is no choice to generate")
    start = pointer.generate.bias.detach().clone()

    def shift_by(nats: float) -> None:
        with torch.no_grad():
            pointer.generate.bias.copy_(start + nats / pointer.gain)

    record = {"init_from": policy.origin, "calibrated": dict(policy.meta.training)}
    return save_best(
        policy, out, shifts, shift_by, stage="calibrate", name="shift", record=record,
        validate_on=validate_on, validation=validation, cache=cache, seed=seed,
    )  # fmt: skip
