"""Data parallelism by accelerate: the processes of a run train one model, each on its share of the batches.

    torchrun --nproc-per-node 2 --no-python onebar train sft ...
    accelerate launch --multi_gpu --num_processes 2 --no_python onebar train sft ...

One process with one thread on each core is faster than one process with a thread for each core, because the matrices of
a small model are too small to divide. All processes hold the same weights: they begin equal, and every step applies the
mean of all gradients. docs/adr/0087 says why the model is not wrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

ValueT = TypeVar("ValueT")


def average_gradients(
    accelerator: Accelerator, parameters: Sequence[nn.Parameter], weight: float, seconds: float
) -> float:
    """Replace every gradient by its weighted mean over the processes, and return the `seconds` of the first process.

    The clocks differ, and the schedule and the end of a run depend on the time, so one clock is used by all. Weights,
    clock and gradients are one message.

    Args:
        accelerator: of the run.
        parameters: in one order in all processes. Those without a gradient have none in any process.
        weight: of the gradients of this process.
        seconds: that this process has spent.
    """
    if accelerator.num_processes == 1:
        return seconds
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    sizes = [gradient.numel() for gradient in gradients]
    message = torch.empty(2 + sum(sizes), device=accelerator.device)
    message[0] = seconds if accelerator.is_main_process else 0.0
    message[1] = weight
    for gradient, part in zip(gradients, torch.split(message[2:], sizes), strict=True):
        torch.mul(gradient.reshape(-1), weight, out=part)
    summed = accelerator.reduce(message, "sum")
    clock, total = summed[:2].tolist()
    for gradient, part in zip(gradients, torch.split(summed[2:], sizes), strict=True):
        torch.div(part.view_as(gradient), total, out=gradient)
    return float(clock)


def from_first(value: ValueT) -> ValueT:
    """Return the first process's value in every process."""
    first: ValueT = broadcast_object_list([value])[0]
    return first
