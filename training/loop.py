"""The loop that all stages share: AdamW, warm-up and decay, clipping, mixed precision, resume, metrics, early stop.

The order of the data is a function of (seed, epoch). So a resumed run needs little state: weights, optimizer, torch's
generator, and the position in the epoch.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.checkpoint import METRICS_FILE, STATE_FILE
from training.config import OptimConfig, RuntimeConfig
from training.errors import CheckpointError, DataError, DivergenceError
from training.model import Device
from training.parallel import join_processes


class StepInput(Protocol):
    """What a stage reads in one step."""

    @property
    def labels(self) -> Tensor:
        """int64 [N, T], the target tokens, negative where padded."""

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


@dataclass(slots=True)
class Progress:
    """The progress of a run. `seconds` is wall time over all resumed parts, evaluation included."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    samples: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_step: int = 0
    evaluations_since_best: int = 0
    finished: bool = False

    def record(self) -> dict[str, float]:
        """Return what a checkpoint records of the run."""
        return {"steps": self.step, "samples": self.samples, "seconds": round(self.seconds, 1)}


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


def learning_rate_factor(step: int, done: float, warmup_steps: int, schedule: str) -> float:
    """Return the factor on the peak rate: linear warm-up over steps, then decay to zero over `done`, 0 to 1.

    `done` is the used share of the budget of the run, so a run that is limited in minutes decays over time.
    """
    warmup = min((step + 1) / max(warmup_steps, 1), 1.0)
    done = min(max(done, 0.0), 1.0)
    decay = 0.5 * (1.0 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done
    return warmup * decay


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

    Args:
        model: the model, on `device`.
        stage: batches, loss and evaluation.
        optim: optimizer, schedule and budget.
        runtime: how often to log and to save.
        device: where to compute.
        out: folder for the state and metrics.jsonl.
        resume: continue from the state in `out` if there is one.

    Raises:
        CheckpointError: `out` has a state and `resume` is False, or the state is of another configuration.
        DivergenceError: the loss is not finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    processes = join_processes()
    optimizer = make_optimizer(model, optim)
    progress = _restore(model, optimizer, stage, out, resume)
    started = time.perf_counter() - progress.seconds
    if progress.finished:
        return progress

    batches = stage.open_epoch(progress.epoch)
    steps_per_epoch = len(batches) // processes.count
    if not steps_per_epoch:
        raise DataError(f"an epoch has fewer batches than the run has processes ({processes.count}); start fewer")
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
            disable=not processes.is_first,
        ) as bar,
    ):

        def write(record: Mapping[str, Any]) -> None:
            if not processes.is_first:
                return
            log.write(json.dumps({"step": progress.step, "seconds": round(progress.seconds, 1), **record}) + "\n")
            log.flush()

        def evaluate() -> None:
            model.eval()
            measured = processes.from_first(stage.evaluate() if processes.is_first else None)
            model.train()
            progress.seconds = processes.from_first(time.perf_counter() - started)
            write({"evaluation": dict(measured)})
            if processes.is_first:
                tqdm.write(f"step {progress.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in measured.items()))
            if measured[stage.selection] > progress.best:
                progress.best, progress.best_step = measured[stage.selection], progress.step
                progress.evaluations_since_best = 0
                if processes.is_first:
                    stage.save_best(measured, progress)
            else:
                progress.evaluations_since_best += 1

        if stage.evaluate_start and progress.step == 0:
            evaluate()
        while not progress.finished:
            if progress.batch >= len(batches) // processes.count:
                progress.epoch, progress.batch = progress.epoch + 1, 0
                batches = stage.open_epoch(progress.epoch)
            batch = batches[progress.batch * processes.count + processes.rank].to(device.device)
            done = max(progress.step / total_steps, progress.seconds / max_seconds)
            factor = learning_rate_factor(progress.step, done, optim.warmup_steps, optim.schedule)
            for group in optimizer.param_groups:
                group["lr"] = optim.learning_rate * factor
            with device.autocast():
                loss, figures = stage.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            progress.seconds = processes.average_gradients(parameters, time.perf_counter() - started)
            norm = nn.utils.clip_grad_norm_(parameters, optim.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

            progress.step += 1
            progress.batch += 1
            progress.samples += batch.labels.shape[0] * processes.count
            progress.target_tokens += int((batch.labels >= 0).sum()) * processes.count
            bar.update()
            for name, value in {"loss": loss, "grad_norm": norm, **figures}.items():
                running[name] = running.get(name, 0.0) + float(value.detach())
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
            if processes.is_first and (progress.finished or progress.step % runtime.save_every_steps == 0):
                _save(model, optimizer, stage, progress, out)
    return progress


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, stage: Stage[Any], progress: Progress, out: Path) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "progress": asdict(progress),
        "config": dict(stage.config),
    }
    if stage.companion is not None:
        state["companion"] = stage.companion.state_dict()
    unfinished = out / (STATE_FILE + ".partial")
    torch.save(state, unfinished)
    os.replace(unfinished, out / STATE_FILE)


def _restore(
    model: nn.Module, optimizer: torch.optim.Optimizer, stage: Stage[Any], out: Path, resume: bool
) -> Progress:
    path = out / STATE_FILE
    if not path.is_file():
        return Progress()
    if not resume:
        raise CheckpointError(f"{out} already has a run; give --resume to continue it, or another folder")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; remove it to start again") from error
    if state["config"] != dict(stage.config):
        raise CheckpointError(f"{path} is of another configuration; give the configuration of that run")
    model.load_state_dict(state["model"])
    if stage.companion is not None:
        stage.companion.load_state_dict(state["companion"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return Progress(**state["progress"])
