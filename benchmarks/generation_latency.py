"""How long does one request take in the engine, beside optimum's ORT on the same checkpoint in the same run?

    python -m benchmarks.generation_latency --output build/generation_latency.json
    python -m benchmarks.generation_latency --checkpoint build/checkpoint

Sources of 96 tokens, width 8, ten steps exactly. The contenders take turns at the same source, so that whatever else
the machine does falls on all of them. CPU time is given beside wall time: on a busy machine it is the fairer figure.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
import onnxruntime as ort
import torch
from optimum.onnxruntime import ORTModelForSeq2SeqLM
from tqdm import tqdm
from transformers import logging

from generation.bundle import PRECISIONS
from generation.engine import Engine
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from model_export.checkpoint import load_checkpoint
from model_export.export import export_bundle
from model_export.parity import reference_answers
from tests.fixtures.tiny_bundle import build_tiny_checkpoint

STEPS = 10
SOURCE_TOKENS = 96
OPTIONS = GenerationOptions(min_new_tokens=STEPS - 1, max_new_tokens=STEPS, early_stopping="never", length_penalty=2.0)

Contender = Callable[[list[int]], object]


def random_checkpoint(folder: Path) -> Path:
    """Write a random BART of the shipped demo's size: 4 + 2 layers, width 256, vocabulary 8192."""
    return build_tiny_checkpoint(
        folder,
        end_bias=0.0,
        init_std=0.05,
        vocab_size=8192,
        d_model=256,
        encoder_layers=4,
        decoder_layers=2,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=1024,
        decoder_ffn_dim=1024,
    )


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "onnxruntime": ort.__version__,
    }


def commit() -> str:
    """Return the commit of the working tree, marked where it has changes."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of durations, in ms."""
    values = np.array(seconds) * 1000
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)} | {
        "min": round(float(values.min()), 3)
    }


def measure(contenders: dict[str, Contender], sources: list[list[int]], warm_up: int) -> dict[str, dict[str, Any]]:
    """Let the contenders take turns at every source and return the percentiles of wall and CPU time of each."""
    for source in sources[:warm_up]:
        for answer in contenders.values():
            answer(source)
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for source in tqdm(sources, desc="requests"):
        for name, answer in contenders.items():
            started, busy = time.perf_counter(), time.process_time()
            answer(source)
            wall[name].append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - busy)
    return {name: {"wall_ms": milliseconds(wall[name]), "cpu_ms": milliseconds(cpu[name])} for name in contenders}


def parts(engine: Engine, sources: list[list[int]]) -> dict[str, Any]:
    """Return the percentiles of encoding with the first step, and of one later step with the host's work for it."""
    answers = [engine.generate(GenerationRequest(source, OPTIONS)) for source in sources]
    return {
        "encode_and_first_step_ms": milliseconds([answer.encode_seconds for answer in answers]),
        "step_ms": milliseconds([answer.decode_seconds / (answer.steps - 1) for answer in answers]),
    }


@click.command()
@click.option("--checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Default: random.")
@click.option("--requests", type=click.IntRange(min=10), default=200, show_default=True)
@click.option("--warm-up", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--peer/--no-peer", default=True, show_default=True, help="Also run optimum's ORTModelForSeq2SeqLM.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(checkpoint: Path | None, requests: int, warm_up: int, peer: bool, output: Path | None) -> None:
    """Measure the engine's latency, one request at a time on one thread."""
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        source_model = load_checkpoint(checkpoint or random_checkpoint(Path(scratch) / "checkpoint"))
        engines = {name: Engine(export_bundle(source_model, Path(scratch) / name, name)) for name in PRECISIONS}
        contenders: dict[str, Contender] = {
            f"engine {name}": lambda source, engine=engine: engine.generate(GenerationRequest(source, OPTIONS))
            for name, engine in engines.items()
        }
        if peer:
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the tracer that optimum exports with has much to say
                model = ORTModelForSeq2SeqLM.from_pretrained(source_model.path, export=True, session_options=options)
            specials = source_model.special_tokens
            contenders["optimum ORT fp32"] = lambda source: reference_answers(
                model, [source], OPTIONS, specials, quiet=True
            )
        sizes = source_model.architecture
        generator = np.random.default_rng(0)
        sources = [
            [0, *generator.integers(7, sizes.vocab_size, SOURCE_TOKENS - 2).tolist(), 2] for _ in range(requests)
        ]
        figures = measure(contenders, sources, warm_up)
        result = {
            "benchmark": "generation_latency",
            "commit": commit(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "model": f"{sizes.encoder_layers}+{sizes.decoder_layers} layers, width {sizes.d_model}, "
            f"vocabulary {sizes.vocab_size}, {'trained' if checkpoint else 'random'}",
            "source_tokens": SOURCE_TOKENS,
            "num_beams": OPTIONS.num_beams,
            "steps": STEPS,
            "threads": 1,
            "requests": requests,
            "warm_up_requests": warm_up,
            "contenders": figures,
            "parts of engine int8": parts(engines["int8"], sources),
        }
    if peer:
        slowest = figures["optimum ORT fp32"]
        result["ratio_of_p50_to_optimum"] = {
            name: {kind: round(figures[name][kind]["p50"] / slowest[kind]["p50"], 3) for kind in ("wall_ms", "cpu_ms")}
            for name in figures
        }
    text = json.dumps(result, indent=2)
    click.echo(text)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
