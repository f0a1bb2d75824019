"""Two processes that torchrun starts train one model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from tests.integration.redis_servers import free_port

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
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-c", EXCHANGE]
    with ExitStack() as running:
        started = [
            running.enter_context(subprocess.Popen(command, env={**shared, "RANK": rank}, stdout=subprocess.PIPE))
            for rank in ("0", "1")
        ]
        try:
            said = [process.communicate(timeout=300)[0] for process in started]
        finally:
            for process in started:
                process.kill()  # if one has failed, the other waits for it
    assert said == [b"[2.0, 4.0, 6.0] 10.0 rank 0\n"] * 2


def stage(examples: Path, tokenizer: Path, out: Path) -> list[str]:
    overrides = [part for override in SMALL for part in ("--set", override)]
    return ["train", "sft", str(examples), str(out), "--tokenizer", str(tokenizer), *overrides]


@pytest.mark.slow
def test_two_processes_share_the_batches_and_end_with_one_model(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "--no-python"]
    command = [*torchrun, sys.executable, "-c", "from cli.main import main; main()"]
    two = [*command, *stage(examples_dir, tokenizer_file, tmp_path / "two")]
    done = subprocess.run(two, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    alone = CliRunner().invoke(main, stage(examples_dir, tokenizer_file, tmp_path / "one"))
    assert alone.exit_code == 0, alone.output
    records = {
        name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    }
    steps = {name: [r["step"] for r in rows if "loss" in r] for name, rows in records.items()}
    assert steps["two"] == steps["one"] == [1, 2, 3]
    samples = {name: max(r.get("samples", 0) for r in rows) for name, rows in records.items()}
    assert samples["two"] > 1.5 * samples["one"]
