"""A resumed run ends with exactly the weights of an undisturbed one, in every stage, with accumulated batches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from tests.unit.training.resuming import STAGES, STEPS, run_stages
from training.config import SftConfig, from_dict
from training.errors import CheckpointError
from training.model import choose_device
from training.run_state import Progress, RunState


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
    state = RunState(model, torch.optim.AdamW(model.parameters()), None, {}, device)
    state.save(tmp_path, Progress(step=3))
    assert state.restore(tmp_path, resume=True).step == 3
    saved = torch.load(tmp_path / "training_state.pt", weights_only=True)
    saved["random"] *= 2
    torch.save(saved, tmp_path / "training_state.pt")
    with pytest.raises(CheckpointError, match="of a run of 2 processes"):
        state.restore(tmp_path, resume=True)
