"""The loop that all stages share: AdamW, warm-up and decay, clipping, mixed precision, resume, metrics, early stop.

It runs in one process or in several, on CPUs or GPUs (training/parallel.py). The order of the data is a function of
(seed, epoch). So a resumed run needs little state: weights, optimizer, the random numbers of each process, and the
position in the epoch.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from accelerate.utils import broadcast, set_seed
from torch import Tensor, nn
from tqdm import tqdm

from training.checkpoint import METRICS_FILE
from training.config import OptimConfig, RuntimeConfig
from training.errors import ConfigError, DataError, DivergenceError
from training.model import Device
from training.parallel import average_gradients, from_first
from training.run_state import Progress, RunState

__all__ = [
    "EpochBatches", "Progress", "Stage", "StepInput", "batches_in_step", "learning_rate_factor", "make_optimizer",
    "train",
]  # fmt: skip


class StepInput(Protocol):
    """A batch of a stage."""

    @property
    def labels(self) -> Tensor:
        """int64 [N, T], the target tokens, negative where padded."""

    @property
    def weight(self) -> float:
        """What the loss of the batch is a mean over; the batches of a step are weighted by it."""

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""


InputT = TypeVar("InputT", bound=StepInput)
InputT_co = TypeVar("InputT_co", bound=StepInput, covariant=True)


class EpochBatches(Protocol[InputT_co]):
    """The batches of one epoch, in a fixed order."""

    def __len__(self) -> int:
        """Return the number of batches."""

    def __getitem__(self, index: int) -> InputT_co:
        """Return one batch."""


@dataclass(frozen=True, slots=True)
class Stage(Generic[InputT]):
    """What a stage gives to the loop.

    Attributes:
        open_epoch: returns the batches of an epoch by its number.
        loss: returns the scalar to minimise for a batch, and figures to log.
        evaluate: returns figures of the current model.
        selection: the figure that selects the best model; greater is better.
        save_best: writes the checkpoint.
        evaluate_every_steps: steps between evaluations.
        patience: evaluations without a better one after which the run ends.
        config: the configuration, which a resumed run must equal.
        evaluate_start: evaluate before the first step, so that a stage never ends with less than it began with.
        companion: a second model whose weights change with the run; saved and restored with it.
        before_step: called before the first batch of each step.
    """

    open_epoch: Callable[[int], EpochBatches[InputT]]
    loss: Callable[[InputT], tuple[Tensor, Mapping[str, Tensor]]]
    evaluate: Callable[[], Mapping[str, float]]
    selection: str
    save_best: Callable[[Mapping[str, float], Progress], None]
    evaluate_every_steps: int
    patience: int
    config: Mapping[str, Any] = field(default_factory=dict)
    evaluate_start: bool = False
    companion: nn.Module | None = None
    before_step: Callable[[], None] | None = None


def learning_rate_factor(step: int, done: float, warmup_steps: int, schedule: str) -> float:
    """Return the factor on the peak rate: linear warm-up over steps, then decay to zero over `done`, 0 to 1.

    `done` is the used share of the budget of the run, so a run that is limited in minutes decays over time.
    """
    warmup = min((step + 1) / max(warmup_steps, 1), 1.0)
    done = min(max(done, 0.0), 1.0)
    decay = 0.5 * (1.0 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done
    return warmup * decay


def batches_in_step(optim: OptimConfig, device: Device) -> int:
    """Return the number of batches that one step learns from, in all processes together.

    Raises:
        ConfigError: `accumulate_steps` is below 1.
    """
    if optim.accumulate_steps < 1:
        raise ConfigError(f"optim.accumulate_steps must be at least 1, got {optim.accumulate_steps}")
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


def train(
    model: nn.Module,
    stage: Stage[InputT],
    optim: OptimConfig,
    runtime: RuntimeConfig,
    device: Device,
    out: Path,
    resume: bool,
) -> Progress:
    """Train until the budget is used or the selection metric stops rising. The best model is then on disk.

    A step learns from `batches_in_step` consecutive batches of the epoch as from one large one: their losses are
    weighted by what each is a mean over, and so are the gradients of the processes. Batches that fill no step are left
    out.

    Args:
        model: the model, on `device`.
        stage: batches, loss and evaluation.
        optim: optimizer, schedule and budget.
        runtime: how often to log and to save.
        device: where to compute.
        out: folder for the state and metrics.jsonl.
        resume: continue from the state in `out` if there is one.

    Raises:
        CheckpointError: `out` has a state and `resume` is False, or the state is of another configuration or of
            another number of processes.
        DataError: an epoch has too few batches for one step.
        DivergenceError: the loss is not finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    accelerator = device.accelerator
    is_first: bool = accelerator.is_main_process
    # Dropout and rollouts differ between the processes, so their random numbers do.
    set_seed(optim.seed, device_specific=True)
    optimizer = make_optimizer(model, optim)
    state = RunState(model, optimizer, stage.companion, stage.config, device)
    progress = state.restore(out, resume)
    broadcast(list(model.state_dict().values()))
    started = time.perf_counter() - progress.seconds
    if progress.finished:
        return progress

    in_step = batches_in_step(optim, device)
    first_in_step = accelerator.process_index * optim.accumulate_steps

    def open_epoch(number: int) -> EpochBatches[InputT]:
        batches = stage.open_epoch(number)
        if len(batches) < in_step:
            raise DataError(
                f"an epoch has {len(batches)} batches, and one step needs {in_step}; start fewer processes, or lower "
                "optim.accumulate_steps or optim.batch_size"
            )
        return batches

    batches = open_epoch(progress.epoch)
    steps_per_epoch = len(batches) // in_step
    total_steps = min(steps_per_epoch * optim.epochs, optim.max_steps or steps_per_epoch * optim.epochs)
    max_seconds = math.inf if optim.max_minutes is None else optim.max_minutes * 60
    parameters = [p for p in model.parameters() if p.requires_grad]
    running: dict[str, float] = {}
    model.train()
    with (
        open(out / METRICS_FILE, "a", encoding="utf-8") as log,
        tqdm(
            total=total_steps,
            initial=progress.step,
            desc="training",
            unit="step",
            mininterval=5,
            disable=not is_first,
        ) as bar,
    ):

        def write(record: Mapping[str, Any]) -> None:
            if not is_first:
                return
            log.write(json.dumps({"step": progress.step, "seconds": round(progress.seconds, 1), **record}) + "\n")
            log.flush()

        def evaluate() -> None:
            model.eval()
            measured = from_first(stage.evaluate() if is_first else {})
            model.train()
            progress.seconds = from_first(time.perf_counter() - started)
            write({"evaluation": dict(measured)})
            if is_first:
                tqdm.write(f"step {progress.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in measured.items()))
            if measured[stage.selection] > progress.best:
                progress.best, progress.best_step = measured[stage.selection], progress.step
                progress.evaluations_since_best = 0
                if is_first:
                    stage.save_best(measured, progress)
            else:
                progress.evaluations_since_best += 1

        if stage.evaluate_start and progress.step == 0:
            evaluate()
        while not progress.finished:
            if progress.batch >= len(batches) // in_step:
                progress.epoch, progress.batch = progress.epoch + 1, 0
                batches = open_epoch(progress.epoch)
            start = progress.batch * in_step + first_in_step
            parts = [batches[index] for index in range(start, start + optim.accumulate_steps)]
            weight = sum(part.weight for part in parts) or 1.0
            done = max(progress.step / total_steps, progress.seconds / max_seconds)
            factor = learning_rate_factor(progress.step, done, optim.warmup_steps, optim.schedule)
            for group in optimizer.param_groups:
                group["lr"] = optim.learning_rate * factor
            if stage.before_step is not None:
                stage.before_step()
            for part in parts:
                batch = part.to(device.device)
                with device.autocast():
                    loss, figures = stage.loss(batch)
                share = part.weight / weight
                (loss * share).backward()  # type: ignore[no-untyped-call]
                progress.samples += batch.labels.shape[0] * accelerator.num_processes
                progress.target_tokens += int((batch.labels >= 0).sum()) * accelerator.num_processes
                for name, value in {"loss": loss, **figures}.items():
                    running[name] = running.get(name, 0.0) + float(value.detach()) * share
            progress.seconds = average_gradients(accelerator, parameters, weight, time.perf_counter() - started)
            norm = nn.utils.clip_grad_norm_(parameters, optim.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

            progress.step += 1
            progress.batch += 1
            bar.update()
            running["grad_norm"] = running.get("grad_norm", 0.0) + float(norm)
            if not math.isfinite(running["loss"]):
                raise DivergenceError(
                    f"the loss is not finite at step {progress.step}; lower optim.learning_rate or raise warmup_steps"
                )
            if progress.step % runtime.log_every_steps == 0:
                means = {name: round(total / runtime.log_every_steps, 5) for name, total in running.items()}
                write({**means, "lr": optim.learning_rate * factor, "samples": progress.samples})
                rate = progress.samples / progress.seconds
                bar.set_postfix(loss=f"{means['loss']:.3f}", samples_s=f"{rate:.0f}", budget=f"{done:.0%}")
                running.clear()
            spent = progress.step >= total_steps or progress.seconds >= max_seconds
            if spent or progress.step % stage.evaluate_every_steps == 0:
                evaluate()
                progress.finished = spent or progress.evaluations_since_best >= stage.patience
            if progress.finished or progress.step % runtime.save_every_steps == 0:
                state.save(out, progress)
    return progress
