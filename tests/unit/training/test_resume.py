"""A resumed run ends with exactly the weights of an undisturbed one, in every stage, with accumulated batches."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from tests.unit.training.resuming import STAGES, STEPS, run_stages
from training.config import OptimConfig, RuntimeConfig, SftConfig, from_dict
from training.errors import CheckpointError
from training.loop import train
from training.model import choose_device
from training.run_state import Progress, RunState, hash_weights, only_run_in
from training.stage import Stage


@pytest.fixture(scope="module")
def data(
    tokenizer: Tokenizer,
    example: Callable[..., dict[str, Any]],
    write_examples: Callable[..., Path],
    write_lists: Callable[[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = [example(n) for n in range(56)] + [example(n, "reject") for n in range(8)]
    write_examples(folder / "examples" / "examples_train.parquet", rows)
    write_examples(folder / "examples" / "examples_valid.parquet", [*rows[:4], *rows[-2:]])
    write_lists(folder / "lists")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def assert_resumed_exactly(out: Path, processes: int) -> None:
    for stage in STAGES:
        whole, resumed = (
            torch.load(out / stage / name / "training_state.pt", weights_only=True) for name in ("whole", "resumed")
        )
        assert whole["progress"]["step"] == resumed["progress"]["step"] == STEPS
        for part in {"model", "companion"} & set(whole):
            for name, value in whole[part].items():
                torch.testing.assert_close(value, resumed[part][name], rtol=0, atol=0, msg=f"{stage}: {name}")
        generators = [process["cpu"] for process in whole["random"]]
        assert len(generators) == processes
        assert all(torch.equal(a, b["cpu"]) for a, b in zip(generators, resumed["random"], strict=True))
        assert len({bytes(generator.tolist()) for generator in generators}) == processes  # dropout differs
    assert "companion" in whole  # the teacher of Stage III


def test_one_process_resumes_exactly(data: Path, tmp_path: Path) -> None:
    run_stages(data, tmp_path, accumulate_steps=2)
    assert_resumed_exactly(tmp_path, processes=1)


@pytest.mark.slow
def test_two_processes_resume_exactly(data: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [*torchrun, "-m", "tests.unit.training.resuming", str(data), str(tmp_path), "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_resumed_exactly(tmp_path, processes=2)


def test_a_run_is_resumed_with_as_many_processes(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    device = choose_device(from_dict(SftConfig, {"runtime": {"device": "cpu", "precision": "fp32"}}).runtime)
    state = RunState(model, torch.optim.AdamW(model.parameters()), None, {}, ["a hash"], device, hash_weights(model))
    state.save(tmp_path, Progress(step=3))
    assert state.restore(tmp_path, resume=True).step == 3
    saved = torch.load(tmp_path / "training_state.pt", weights_only=True)
    saved["random"] *= 2
    torch.save(saved, tmp_path / "training_state.pt")
    with pytest.raises(CheckpointError, match="of a run of 2 processes"):
        state.restore(tmp_path, resume=True)


def test_a_run_is_resumed_with_its_data_and_its_start(tmp_path: Path) -> None:
    """Else the weights of other data would pass for those of these, or a reference would not be where the run began."""
    device = choose_device(RuntimeConfig(device="cpu", precision="fp32"))
    torch.manual_seed(0)
    start = torch.nn.Linear(2, 2)

    def state_of(model: torch.nn.Module, data: list[str]) -> RunState:
        return RunState(model, torch.optim.AdamW(model.parameters()), None, {}, data, device, hash_weights(model))

    first = state_of(copy.deepcopy(start), ["a hash"])
    with torch.no_grad():
        first.model.weight.add_(1.0)
    first.save(tmp_path, Progress(step=3))
    same = copy.deepcopy(start)
    assert state_of(same, ["a hash"]).restore(tmp_path, resume=True).step == 3
    assert torch.equal(same.weight, first.model.weight)
    with pytest.raises(CheckpointError, match="a run on other data"):
        state_of(copy.deepcopy(start), ["another"]).restore(tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="a run that began with other weights"):
        state_of(torch.nn.Linear(2, 2), ["a hash"]).restore(tmp_path, resume=True)


@dataclass(frozen=True)
class OneTarget:
    labels: torch.Tensor = field(default_factory=lambda: torch.zeros(1, 1, dtype=torch.int64))
    weight: float = 1.0

    def to(self, device: torch.device) -> OneTarget:
        return self


def test_a_budget_in_epochs_is_the_same_after_a_break(tmp_path: Path) -> None:
    """Epochs have different numbers of batches; the first one decides about the number of steps."""
    losses = 0

    def run(break_at: int) -> Progress:
        model = torch.nn.Linear(2, 1)

        def loss(batch: OneTarget) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            nonlocal losses
            losses += 1
            if losses == break_at:
                raise KeyboardInterrupt
            return model(torch.ones(1, 2)).sum() ** 2, {}

        stage: Stage[OneTarget] = Stage(
            lambda epoch: [OneTarget()] * (2 + epoch), loss, lambda: {"hr@8": 0.0}, "hr@8", lambda *_: None, 100, 9
        )
        runtime = RuntimeConfig(device="cpu", precision="fp32", save_every_steps=1)
        torch.manual_seed(0)
        torch.nn.init.ones_(model.weight)
        torch.nn.init.zeros_(model.bias)
        return train(model, stage, OptimConfig(epochs=4), runtime, choose_device(runtime), tmp_path, resume=True)

    with pytest.raises(KeyboardInterrupt):
        run(break_at=5)
    assert run(break_at=0).step == 2 * 4


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with only_run_in(tmp_path), pytest.raises(CheckpointError, match="another run writes to"), only_run_in(tmp_path):
        pass
    with only_run_in(tmp_path):
        pass
