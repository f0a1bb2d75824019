"""Processes that torchrun starts train one model."""

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
from training.config import RuntimeConfig
from training.model import choose_device
from training.parallel import average_gradients, from_first
accelerator = choose_device(RuntimeConfig(device="cpu", threads=1)).accelerator
rank = accelerator.process_index
used, unused = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2))
used.grad = torch.tensor([1.0, 2.0, 3.0]) * (1 + 4 * rank)
seconds = average_gradients(accelerator, [used, unused], 30.0 - 20.0 * rank, 10.0 + rank)
print(used.grad.tolist(), unused.grad, seconds, from_first(f"rank {rank}"))
"""


def test_gradients_are_averaged_by_weight_and_the_first_process_has_the_clock() -> None:
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    shared["OMP_NUM_THREADS"] = "1"
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
    # The weights are 30 and 10: (30 * 1 + 10 * 5) / 40 = 2.
    assert said == [b"[2.0, 4.0, 6.0] None 10.0 rank 0\n"] * 2


def stage(examples: Path, tokenizer: Path, out: Path, *more: str) -> list[str]:
    overrides = [part for override in (*SMALL, *more) for part in ("--set", override)]
    return ["train", "sft", str(examples), str(out), "--tokenizer", str(tokenizer), *overrides]


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one_that_accumulates_two_batches(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "--no-python"]
    command = [*torchrun, sys.executable, "-c", "from cli.main import main; main()"]
    sharing = [*command, *stage(examples_dir, tokenizer_file, tmp_path / "two")]
    done = subprocess.run(sharing, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    accumulating = stage(examples_dir, tokenizer_file, tmp_path / "one", "optim.accumulate_steps=2")
    alone = CliRunner().invoke(main, accumulating)
    assert alone.exit_code == 0, alone.output
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    norms = [[record["grad_norm"] for record in records if "loss" in record] for records in (one, two)]
    assert len(norms[0]) == 3
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
