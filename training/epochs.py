"""Epochs that are opened ahead, in other processes, while the one before is learnt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic

import torch
from torch.utils.data import DataLoader, Dataset

from training.config import RuntimeConfig
from training.errors import ConfigError, DataError
from training.model import Device
from training.stage import EpochBatches, InputT

_MOST_WORKERS = 8
_LAST = 2**31


@dataclass(frozen=True, slots=True)
class _Epochs(Dataset[EpochBatches[InputT]], Generic[InputT]):
    """All epochs of a stage, by number."""

    open_epoch: Callable[[int], EpochBatches[InputT]]

    def __getitem__(self, number: int) -> EpochBatches[InputT]:
        return self.open_epoch(number)


def open_epochs(
    open_epoch: Callable[[int], EpochBatches[InputT]], first: int, in_step: int, device: Device, runtime: RuntimeConfig
) -> Iterator[EpochBatches[InputT]]:
    """Yield the batches of each epoch, in order.

    Args:
        open_epoch: returns the batches of an epoch by its number; it uses no GPU.
        first: number of the first epoch.
        in_step: batches that a step learns from.
        device: of the run.
        runtime: has the number of processes.

    Raises:
        ConfigError: the number of processes is negative.
        DataError: an epoch has too few batches for one step.
    """
    workers = _workers(runtime.epoch_workers, device)
    loader: DataLoader[EpochBatches[InputT]] = DataLoader(
        _Epochs(open_epoch),
        sampler=range(first, _LAST),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=1 if workers else None,
        collate_fn=_as_it_is,
        multiprocessing_context="fork" if workers else None,  # the examples are not copied
        generator=torch.Generator(),  # the random numbers of the run stay its own
    )
    for batches in loader:
        if len(batches) < in_step:
            raise DataError(
                f"an epoch has {len(batches)} batches, and one step needs {in_step}; start fewer processes, or lower "
                "optim.accumulate_steps or optim.batch_size"
            )
        yield batches


def _workers(wanted: int | None, device: Device) -> int:
    if wanted is None:
        cores = (os.cpu_count() or 1) // device.accelerator.num_processes
        return min(_MOST_WORKERS, max(cores - 1, 1)) if device.device.type == "cuda" else 0
    if wanted < 0:
        raise ConfigError(f"runtime.epoch_workers must be at least 0, got {wanted}")
    return wanted


def _as_it_is(batches: EpochBatches[InputT]) -> EpochBatches[InputT]:
    return batches
