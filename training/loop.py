"""The loop that all stages share: AdamW, warm-up and decay, clipping, mixed precision, resume, metrics, early stop.

It runs in one process or in several, on CPUs or GPUs (training/parallel.py). The order of the data is a function of
(seed, epoch). So a resumed run needs little state: weights, optimizer, the random numbers of each process, and the
position in the epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import torch
from accelerate.utils import broadcast, set_seed
from torch import Tensor, nn

from training.config import OptimConfig, RuntimeConfig
from training.epochs import open_epochs
from training.errors import DivergenceError
from training.metrics_log import MetricsLog, open_log
from training.model import Device
from training.optimizer import batches_in_step, learning_rate_factor, make_optimizer
from training.parallel import average_gradients, from_first
from training.run_state import Progress, RunState, hash_weights, only_run_in
from training.stage import InputT, Stage


@dataclass(frozen=True, slots=True)
class _Run(Generic[InputT]):
    """What a step and an evaluation need.

    Attributes:
        started: on the clock of `time.perf_counter`; earlier parts of a resumed run are before it.
    """

    model: nn.Module
    stage: Stage[InputT]
    optim: OptimConfig
    device: Device
    optimizer: torch.optim.Optimizer
    progress: Progress
    started: float

    @property
    def seconds(self) -> float:
        """Seconds of the run on the clock of this process."""
        return time.perf_counter() - self.started


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
        CheckpointError: another run writes to `out`, or it has a state and `resume` is False, or one that is not of
            this run; see `RunState.restore`.
        DataError: an epoch has too few batches for one step.
        DivergenceError: the loss is not finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    with only_run_in(out) if device.accelerator.is_main_process else nullcontext():
        # Dropout and rollouts differ between the processes, so their random numbers do.
        set_seed(optim.seed, device_specific=True)
        optimizer = make_optimizer(model, optim)
        start = hash_weights(model)
        state = RunState(model, optimizer, stage.companion, stage.config, stage.data, device, start)
        progress = state.restore(out, resume)
        broadcast(list(model.state_dict().values()))
        if not progress.finished:
            run = _Run(model, stage, optim, device, optimizer, progress, time.perf_counter() - progress.seconds)
            _take_steps(run, state, runtime, out)
        return progress


def _take_steps(run: _Run[InputT], state: RunState, runtime: RuntimeConfig, out: Path) -> None:
    """Take the steps of a run from its progress to its end, evaluate and save."""
    stage, optim, device, progress = run.stage, run.optim, run.device, run.progress
    in_step = batches_in_step(optim, device)
    first_in_step = device.accelerator.process_index * optim.accumulate_steps
    epochs = open_epochs(stage.open_epoch, progress.epoch, in_step, device, runtime)
    batches = next(epochs)
    if not progress.total_steps:  # later epochs may have another number of batches
        of_epochs = len(batches) // in_step * optim.epochs
        progress.total_steps = of_epochs if optim.max_steps is None else min(of_epochs, optim.max_steps)
    total_steps = progress.total_steps
    max_seconds = math.inf if optim.max_minutes is None else optim.max_minutes * 60
    run.model.train()
    with open_log(out, progress, total_steps, is_first=device.accelerator.is_main_process) as log:
        if stage.evaluate_start and progress.step == 0:
            _evaluate(run, log)
        while not progress.finished:
            if progress.batch >= len(batches) // in_step:
                progress.epoch, progress.batch = progress.epoch + 1, 0
                batches = next(epochs)
            start = progress.batch * in_step + first_in_step
            parts = [batches[index] for index in range(start, start + optim.accumulate_steps)]
            done = max(progress.step / total_steps, progress.seconds / max_seconds)
            rate = optim.learning_rate * learning_rate_factor(progress.step, done, optim.warmup_steps, optim.schedule)
            figures = _take_step(run, parts, rate)
            log.count_step(figures)
            spent = progress.step >= total_steps or progress.seconds >= max_seconds
            logs = progress.step % runtime.log_every_steps == 0
            evaluates = spent or progress.step % stage.evaluate_every_steps == 0
            saves = progress.step % runtime.save_every_steps == 0
            if logs or evaluates or saves:
                _require_finite(figures["loss"], progress.step)
            if logs:
                log.write_steps(rate, done)
            if evaluates:
                _evaluate(run, log)
                progress.finished = spent or progress.evaluations_since_best >= stage.patience
            if progress.finished or saves:
                state.save(out, progress)


def _take_step(run: _Run[InputT], parts: Sequence[InputT], rate: float) -> dict[str, Tensor]:
    """Take one step and count it in the progress. Its figures stay on the device.

    Args:
        run: of this process.
        parts: the batches of this process.
        rate: learning rate.

    Returns:
        The loss, the figures of the stage, and the norm of the gradient before clipping, on the device.
    """
    progress, accelerator = run.progress, run.device.accelerator
    weight = sum(part.weight for part in parts) or 1.0
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    if run.stage.before_step is not None:
        run.stage.before_step()
    figures: dict[str, Tensor] = {}
    for part in parts:
        batch = part.to(run.device.device)
        with run.device.autocast():
            loss, others = run.stage.loss(batch)
        share = part.weight / weight
        (loss * share).backward()  # type: ignore[no-untyped-call]
        progress.samples += part.labels.shape[0] * accelerator.num_processes
        progress.target_tokens += int((part.labels >= 0).sum()) * accelerator.num_processes
        for name, value in {"loss": loss, **others}.items():
            figures[name] = figures.get(name, 0.0) + value.detach() * share
    parameters = [p for p in run.model.parameters() if p.requires_grad]
    progress.seconds = average_gradients(accelerator, parameters, weight, run.seconds)
    figures["grad_norm"] = nn.utils.clip_grad_norm_(parameters, run.optim.clip_norm)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    progress.step += 1
    progress.batch += 1
    return figures


def _require_finite(loss: Tensor, step: int) -> None:
    """Refuse a loss that is not finite. A step with such a loss leaves none that is, so the last one is enough."""
    if not math.isfinite(float(loss)):
        raise DivergenceError(f"the loss is not finite at step {step}; lower optim.learning_rate or raise warmup_steps")


def _evaluate(run: _Run[InputT], log: MetricsLog) -> None:
    """Measure the model, and write the checkpoint if it is the best so far."""
    progress, is_first = run.progress, run.device.accelerator.is_main_process
    run.model.eval()
    measured = from_first(run.stage.evaluate() if is_first else {})
    run.model.train()
    progress.seconds = from_first(run.seconds)
    log.write_evaluation(measured)
    if measured[run.stage.selection] > progress.best:
        progress.best, progress.best_step = measured[run.stage.selection], progress.step
        progress.evaluations_since_best = 0
        if is_first:
            run.stage.save_best(measured, progress)
    else:
        progress.evaluations_since_best += 1
