"""What stays in memory: few kernels, which oneDNN keeps by shape, and the blocks that are needed again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

VARIABLES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")

# `--help` of a subcommand runs the group first, as every subcommand does.
START = """
import os, sys
from click.testing import CliRunner
from cli.main import main
assert CliRunner().invoke(main, ["train", "sft", "--help"]).exit_code == 0
"""

SHOW = START + f"""
assert "torch" not in sys.modules
print(*(os.environ[name] for name in {VARIABLES}))
"""  # fmt: skip

# Forward and backward over 500 numbers of rows, as target tokens and source lengths make them: 1,500 shapes.
MANY_SHAPES = START + """
import ctypes
import torch

def private_megabytes():
    ctypes.CDLL(None).malloc_trim(0)
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(fields["RssAnon"].split()[0]) / 1024

torch.set_num_threads(1)
weight = torch.ones(256, 256, requires_grad=True)
def run(sizes):
    for rows in sizes:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = torch.nn.functional.linear(torch.ones(rows, 256, requires_grad=True), weight)
        result.float().sum().backward()

run(range(1, 9))
before = private_megabytes()
run(range(9, 509))
print(private_megabytes() - before)
"""  # fmt: skip


# Tensors over the 32 MiB up to which glibc learns to keep a block, one at a time: PAGES pages of 4 KiB in all.
SIZES, ROUNDS = (10_000_000, 9_000_000, 12_000_000), 10
PAGES = ROUNDS * sum(SIZES) * 4 // 4096

FREED = f"""
import resource
import torch
from training.config import RuntimeConfig
from training.model import choose_device

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

choose_device(RuntimeConfig(device="cpu", threads=1))
before = faults()
for _ in range({ROUNDS}):
    for size in {SIZES}:
        torch.ones(size)
print(faults() - before)
"""  # fmt: skip


def output_of(script: str, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | variables
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_caches_are_bounded_before_torch_is_imported() -> None:
    assert output_of(SHOW).split() == ["128", "128"]


def test_the_capacities_of_the_caller_are_kept() -> None:
    assert output_of(SHOW, **dict.fromkeys(VARIABLES, "7")).split() == ["7", "7"]


@pytest.mark.skipif(
    sys.platform != "linux" or not torch.cpu._is_avx512_supported(),
    reason="torch multiplies bf16 by oneDNN only where the processor has AVX-512",
)
def test_many_shapes_take_little_memory() -> None:
    bounded = float(output_of(MANY_SHAPES))
    torchs_own = float(output_of(MANY_SHAPES, **dict.fromkeys(VARIABLES, "1024")))
    assert torchs_own > 300, "the shapes of this test no longer fill the caches"
    assert bounded < torchs_own / 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such option")
def test_a_freed_tensor_is_not_given_back_to_the_system() -> None:
    assert int(output_of(FREED)) < PAGES / 4
