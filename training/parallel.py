"""Data parallelism: processes that torchrun starts train one model, each on its share of the batches.

    torchrun --nproc-per-node 2 -m cli train sft ...

One process with one thread on each core is faster than one process with a thread for each core, because the matrices of
a small model are too small to divide. All processes hold the same weights: they begin equal, and every step applies the
mean of all gradients.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run. `rank` 0 evaluates, writes checkpoints and decides when the run ends."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def average_gradients(self, parameters: Sequence[nn.Parameter], seconds: float) -> float:
        """Replace every gradient by its mean over the processes, and return the `seconds` of the first process.

        The clocks differ, and the schedule and the end of a run depend on the time, so one clock is used by all.
        """
        if self.count == 1:
            return seconds
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        clock = torch.tensor([seconds * self.count if self.is_first else 0.0])
        flat = torch.cat([clock, *(gradient.reshape(-1) for gradient in gradients)])
        dist.all_reduce(flat)
        flat /= self.count
        offset = 1
        for gradient in gradients:
            gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
            offset += gradient.numel()
        return float(flat[0])

    def from_first(self, value: Any) -> Any:
        """Return the first process's value in every process."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def join_processes() -> Processes:
    """Join the processes that torchrun started; a process that was started alone is the only one."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Processes(dist.get_rank(), count)
