"""The state of a run on disk, from which it continues exactly.

The state is taken between two steps. It has weights, optimizer, progress and the random numbers of every process, so
that a resumed run ends with the weights of an undisturbed one.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import nn

from training.checkpoint import STATE_FILE, Checkpoint
from training.errors import CheckpointError
from training.model import Device


@dataclass(slots=True)
class Progress:
    """The progress of a run.

    Attributes:
        step: finished steps.
        total_steps: after which the run ends; 0 before the first epoch was opened, whose number of batches it has.
        epoch: the epoch of the next step.
        batch: steps that this epoch has had.
        samples: targets of all processes.
        target_tokens: of all processes.
        seconds: wall time over all resumed parts, evaluation included.
        best: the best value of the selection figure.
        best_step: the step of `best`.
        evaluations_since_best: that were not better.
        finished: whether the run has ended.
    """

    step: int = 0
    total_steps: int = 0
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
class RunState:
    """What of a run is saved, beside its progress.

    Attributes:
        model: that is trained.
        optimizer: of its parameters.
        companion: a second model whose weights change with the run, or None.
        config: the configuration, which a resumed run must equal.
        data: hashes of the files that the run reads, which must be the same too.
        device: of this process.
        start: a hash of the weights that the run begins with. Those of a resumed run must be the same: a reference or
            a teacher is made of them.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    companion: nn.Module | None
    config: Mapping[str, Any]
    data: Sequence[str]
    device: Device
    start: str

    def save(self, out: Path, progress: Progress) -> None:
        """Write the state to `out` in one rename. All processes take part, and the first one writes."""
        random = {"cpu": torch.get_rng_state()}
        if self.device.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device.device)
        of_processes = gather_object([random])
        if not self.device.accelerator.is_main_process:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": of_processes,
            "progress": asdict(progress),
            "config": dict(self.config),
            "data": list(self.data),
            "start": self.start,
        }
        if self.companion is not None:
            state["companion"] = self.companion.state_dict()
        unfinished = out / (STATE_FILE + ".partial")
        torch.save(state, unfinished)
        os.replace(unfinished, out / STATE_FILE)

    def restore(self, out: Path, resume: bool) -> Progress:
        """Read the state in `out` into the models, the optimizer and the generators of this process.

        Args:
            out: folder of the run.
            resume: whether a state is wanted.

        Returns:
            The progress of the run; that of a new one if there is no state.

        Raises:
            CheckpointError: there is a state and `resume` is False, or it cannot be read, or it is of another
                configuration, other data, another start or another number of processes.
        """
        path = out / STATE_FILE
        if not path.is_file():
            return Progress()
        if not resume:
            raise CheckpointError(f"{out} already has a run; give --resume to continue it, or another folder")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}; remove it to start again") from error
        if state["config"] != dict(self.config):
            raise CheckpointError(f"{path} is of another configuration; give the configuration of that run")
        if state.get("data") != list(self.data):
            raise CheckpointError(f"{path} is of a run on other data; give the data of that run, or another folder")
        if state.get("start") != self.start:
            raise CheckpointError(
                f"{path} is of a run that began with other weights; give the --init-from of that run, or another folder"
            )
        processes = len(state["random"])
        if processes != self.device.accelerator.num_processes:
            raise CheckpointError(f"{path} is of a run of {processes} processes; resume it with as many")
        self.model.load_state_dict(state["model"])
        if self.companion is not None:
            self.companion.load_state_dict(state["companion"])
        self.optimizer.load_state_dict(state["optimizer"])
        random = state["random"][self.device.accelerator.process_index]
        torch.set_rng_state(random["cpu"])
        if "cuda" in random and self.device.device.type == "cuda":
            torch.cuda.set_rng_state(random["cuda"], self.device.device)
        return Progress(**state["progress"])


@contextmanager
def only_run_in(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder, with a lock that ends with this process.

    Raises:
        CheckpointError: another run writes to it.
    """
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CheckpointError(f"another run writes to {out}; wait for its end, or give another folder") from error
    finally:
        os.close(folder)


def hash_weights(model: nn.Module) -> str:
    """Return a hash of names and values of the weights of a model, the same on every device."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def load_last_weights(checkpoint: Checkpoint, folder: Path) -> Mapping[str, Any]:
    """Give a checkpoint the weights of the last step of its run, in place of those of the best evaluation.

    Args:
        checkpoint: read from `folder`.
        folder: of the run.

    Returns:
        The fields of the run's `Progress`.

    Raises:
        CheckpointError: the state of the run is gone.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {STATE_FILE} any more, the weights of its last step are gone; measure the best, or "
            "remove the folder of the run to train it again"
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    checkpoint.model.load_state_dict(state["model"])
    progress: Mapping[str, Any] = state["progress"]
    return progress
