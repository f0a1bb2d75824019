"""`python -m benchmarks.peers`: measure, and write the result as JSON."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click

from benchmarks.peers.measure import Plan, measure_size
from benchmarks.peers.models import Models, prepare_random, prepare_trained, random_sources
from benchmarks.peers.tuning import ISA, in_fresh_process, tune_ctranslate2
from benchmarks.random_model import SIZES
from evidence.render import Renderer
from generation.options import GenerationOptions
from loadtest.machine import begin_result, finish_result
from model_export.checkpoint import load_checkpoint
from model_export.inputs import rendered_sources

PACKAGES = ("ctranslate2", "numpy", "onnxruntime", "optimum-onnx", "torch", "transformers")
STEPS = 10
SOURCE_TOKENS = 96
SOURCES = 64
CALIBRATION_SHARE = 2  # for each source that is measured, so many others to calibrate on
# The end is forbidden before the last step, so every search takes all of them.
OPTIONS = GenerationOptions(min_new_tokens=STEPS - 1, max_new_tokens=STEPS)


def measure_models(name: str, models: Models, inputs: Path | None, plan: Plan, flags: list[str]) -> dict[str, Any]:
    """Tune CTranslate2 for one model, then measure all contenders on it."""
    checkpoint = load_checkpoint(models.checkpoint)
    specials = checkpoint.special_tokens
    options = OPTIONS
    calibration: list[list[int]] = []  # random ones
    if inputs is None:
        tokens = min(SOURCE_TOKENS, checkpoint.architecture.max_positions)
        sources = random_sources(SOURCES, tokens, checkpoint.architecture.vocab_size, specials)
    else:
        renderer = Renderer(checkpoint.tokenizer, checkpoint.render_budgets)
        rendered = rendered_sources(inputs, renderer, (1 + CALIBRATION_SHARE) * SOURCES)
        sources = rendered[:: 1 + CALIBRATION_SHARE]
        calibration = [source for place, source in enumerate(rendered) if place % (1 + CALIBRATION_SHARE)]
        # Real answers end where they end; CTranslate2 knows this mode of stopping only.
        options = replace(checkpoint.generation, early_stopping=True, min_new_tokens=1)
    del checkpoint
    click.echo(models.title)
    tuned = tune_ctranslate2(models.ctranslate2, flags, sources, options, specials, plan.rounds)
    environment = {ISA: tuned["isa"]} if tuned["isa"] else {}
    kind = tuned["compute_type"]
    found = in_fresh_process(environment, measure_size, name, models, sources, calibration, options, plan, kind)
    lengths = [len(source) for source in sources]
    described = {"source_tokens": {"min": min(lengths), "max": max(lengths)}, "options": options.to_dict()}
    return {**found, **described, "ctranslate2": tuned}


@click.command()
@click.option("--size", "names", multiple=True, type=click.Choice(list(SIZES)), help="Default: w256, w512 and w768.")
@click.option("--checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Instead of sizes.")
@click.option(
    "--inputs", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Examples table for a checkpoint."
)
@click.option("--rounds", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--slow-rounds", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--clients", multiple=True, type=click.IntRange(min=2), default=(4, 16), show_default=True)
@click.option("--alone", is_flag=True, help="Only one request at a time, and without the scheduler.")
@click.option("--seconds", type=click.FloatRange(min=0.01), default=0.6, show_default=True, help="Length of a block.")
@click.option("--compared", type=click.IntRange(min=1), default=16, show_default=True, help="Answers compared.")
@click.option(
    "--models", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("build/peers"),
    show_default=True, help="Where checkpoints and their conversions are kept.",
)  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    names: tuple[str, ...],
    checkpoint: Path | None,
    inputs: Path | None,
    rounds: int,
    slow_rounds: int,
    clients: tuple[int, ...],
    alone: bool,
    seconds: float,
    compared: int,
    folder: Path,
    output: Path | None,
) -> None:
    """Compare the engine with its peers.

    \b
    Examples:
      python -m benchmarks.peers --output build/peers.json
      python -m benchmarks.peers --size w256 --rounds 3
      python -m benchmarks.peers --checkpoint build/checkpoint --inputs build/examples_test.parquet
    """
    clients = () if alone else clients
    if inputs and not checkpoint:
        raise click.UsageError("--inputs are for a --checkpoint; the sizes have no tokenizer of their own")
    plan = Plan(rounds, slow_rounds, seconds, warm_up=10, compared=compared, clients=clients)
    result = begin_result("peers", *PACKAGES) | {
        "threads": 1,
        "clients": list(clients),
        "rounds": rounds,
        "slow_rounds": slow_rounds,
        "block_seconds": seconds,
        "warm_up_requests": plan.warm_up,
        "sizes": {},
    }
    if checkpoint:
        chosen = {"trained": prepare_trained(checkpoint, folder)}
    else:
        chosen = {name: prepare_random(SIZES[name], folder) for name in names or ("w256", "w512", "w768")}
    for name, models in chosen.items():
        result["sizes"][name] = measure_models(name, models, inputs, plan, result["machine"]["flags"])
    finish_result(result, output)
    for name, found in result["sizes"].items():
        for phase, by_name in found["phases"].items():
            for contender, row in by_name.items():
                click.echo(
                    f"{name:8}{phase:>3}  {contender:28}{row['p50_ms']:>10.2f}{row['p99_ms']:>10.2f} ms"
                    f"{row['throughput']:>9.1f}/s{row['cpu_ms']:>10.2f} ms of CPU{row['cores']:>6.2f} cores"
                )
        for bar in found["bars"]:
            sign = "<=" if bar["at_most"] else ">="
            click.echo(
                f"{name:8}{bar['text']:34}{bar['ratio']:.3f} ({bar['min']:.3f} to {bar['max']:.3f}), "
                f"wanted {sign} {bar['wanted']}: {'met' if bar['met'] else 'MISSED'}"
            )


if __name__ == "__main__":
    sys.exit(main())
