"""How long does one request take in the engine, compared with optimum's ORT on the same checkpoint in the same run?

    python -m benchmarks.generation_latency --output build/generation_latency.json
    python -m benchmarks.generation_latency --checkpoint build/checkpoint

Sources of 96 tokens, width 8, ten steps exactly. The contenders take turns at the same source, so that whatever else
the machine does falls on all of them. CPU time is given beside wall time: on a busy machine it is the fairer figure.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
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

from benchmarks.random_model import SIZES, build_sized_checkpoint
from generation.bundle import PRECISIONS
from generation.engine import Engine
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.results import Generation
from loadtest.machine import begin_result, finish_result
from model_export.checkpoint import load_checkpoint
from model_export.export import export_bundle
from model_export.parity import reference_answers

STEPS = 10
SOURCE_TOKENS = 96
OPTIONS = GenerationOptions(min_new_tokens=STEPS - 1, max_new_tokens=STEPS, early_stopping="never", length_penalty=2.0)

Contender = Callable[[list[int]], object]


def answer(engine: Engine, source: list[int]) -> Generation:
    """Answer one source."""
    return engine.generate(GenerationRequest(source, OPTIONS))


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
    result = begin_result("generation_latency", "numpy", "onnxruntime", "optimum-onnx", "torch", "transformers")
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        source_model = load_checkpoint(
            checkpoint or build_sized_checkpoint(Path(scratch) / "checkpoint", SIZES["w256"])
        )
        engines = {name: Engine(export_bundle(source_model, Path(scratch) / name, name)) for name in PRECISIONS}
        contenders: dict[str, Contender] = {
            f"engine {name}": partial(answer, engine) for name, engine in engines.items()
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
        result |= {
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
    click.echo(finish_result(result, output))


if __name__ == "__main__":
    sys.exit(main())
