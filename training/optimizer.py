"""AdamW, its schedule, and how many batches a step learns from."""

from __future__ import annotations

import math

import torch
from torch import nn

from training.config import OptimConfig
from training.model import Device


def learning_rate_factor(step: int, done: float, warmup_steps: int, schedule: str) -> float:
    """Return the factor on the peak rate: linear warm-up over steps, then decay to zero over `done`, 0 to 1.

    `done` is the used share of the budget of the run, so a run that is limited in minutes decays over time.
    """
    warmup = min((step + 1) / max(warmup_steps, 1), 1.0)
    done = min(max(done, 0.0), 1.0)
    decay = 0.5 * (1.0 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done
    return warmup * decay


def batches_in_step(optim: OptimConfig, device: Device) -> int:
    """Return the number of batches that one step learns from, in all processes together."""
    processes: int = device.accelerator.num_processes
    return processes * optim.accumulate_steps


def make_optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.AdamW:
    """Return AdamW with weight decay on matrices only, not on biases and norms."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": optim.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=optim.learning_rate, betas=(0.9, optim.beta2), fused=True)
