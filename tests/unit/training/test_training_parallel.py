"""Two processes that torchrun starts train one model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SMALL = [
    "model.encoder_layers=1", "model.decoder_layers=1", "model.d_model=32", "model.ffn_dim=64",
    "model.attention_heads=2", "model.dropout=0", "optim.batch_size=4", "optim.max_steps=3", "optim.max_minutes=null",
    "validation.click_examples=4", "validation.reject_examples=4", "validation.every_steps=3", "runtime.precision=fp32",
    "runtime.log_every_steps=1",
]  # fmt: skip


EXCHANGE = """
import torch
from training.parallel import join_processes
processes = join_processes()
weight = torch.nn.Parameter(torch.zeros(3))
weight.grad = torch.tensor([1.0, 2.0, 3.0]) * (1 + 2 * processes.rank)
seconds = processes.average_gradients([weight], 10.0 + processes.rank)
print(weight.grad.tolist(), seconds, processes.from_first(f"rank {processes.rank}"))
"""


def test_gradients_are_averaged_and_the_first_process_has_the_clock() -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [*torchrun, "--no-python", sys.executable, "-c", EXCHANGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["[2.0, 4.0, 6.0] 10.0 rank 0"] * 2, done.stderr[-2000:]


def run(examples: Path, tokenizer: Path, out: Path, processes: int) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    command = ["--no-python", sys.executable, "-c", "from cli.main import main; main()"]
    stage = ["train", "sft", str(examples), str(out), "--tokenizer", str(tokenizer)]
    overrides = [part for override in SMALL for part in ("--set", override)]
    done = subprocess.run([*torchrun, *command, *stage, *overrides], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_two_processes_share_the_batches_and_end_with_one_model(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    run(examples_dir, tokenizer_file, tmp_path / "two", 2)
    run(examples_dir, tokenizer_file, tmp_path / "one", 1)
    records = {
        name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    }
    steps = {name: [r["step"] for r in rows if "loss" in r] for name, rows in records.items()}
    assert steps["two"] == steps["one"] == [1, 2, 3]
    samples = {name: max(r.get("samples", 0) for r in rows) for name, rows in records.items()}
    assert samples["two"] > 1.5 * samples["one"]
