"""The rounds of one size: every contender, in turns, in every phase."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from tqdm import tqdm

from benchmarks.peers.clients import Load, ask_concurrently, ask_in_batches, repeat
from benchmarks.peers.contenders import (
    Contender,
    Source,
    ctranslate2_contender,
    engine_contender,
    in_flight_contender,
    optimum_contender,
    transformers_contender,
)
from benchmarks.peers.figures import ALONE, ENGINE, IN_FLIGHT, Block, hold, summarize
from benchmarks.peers.models import Models
from benchmarks.peers.tuning import best_batch
from generation.bundle import PRECISIONS, Bundle
from generation.engine import Engine
from generation.options import GenerationOptions
from generation.scheduler import Scheduler
from model_export.checkpoint import load_checkpoint
from model_export.export import export_bundle
from model_export.parity import compare

TOGETHER = 16  # requests at once, where it is asked whether answers depend on what else is answered


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often is measured.

    rounds: turns that every contender takes; the slow ones take `slow_rounds` where clients are many.
    seconds: length of a block at least; with many clients twice that.
    warm_up: requests before anything is counted; one more starts every block.
    compared: sources whose answers are compared.
    clients: numbers of concurrent clients.
    """

    rounds: int
    slow_rounds: int
    seconds: float
    warm_up: int
    compared: int
    clients: tuple[int, ...]


def measure_size(
    size: str,
    models: Models,
    sources: Sequence[Source],
    calibration: Sequence[Source],
    options: GenerationOptions,
    plan: Plan,
    compute_type: str,
) -> dict[str, Any]:
    """Measure one size. To be called in a process of its own, in which CTranslate2's environment is set.

    Args:
        size: name of the size, whose targets the figures are compared with.
        models: of this size.
        sources: what is asked, over and over.
        calibration: what the engine's int8 ranges are measured on; random sources if empty.
        options: how everyone searches.
        plan: how often and how long.
        compute_type: CTranslate2's.
    """
    import torch
    from transformers import logging

    torch.set_num_threads(1)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    started = time.perf_counter()
    with TemporaryDirectory() as scratch, ExitStack() as stack:
        bundles = export(models, Path(scratch), calibration)
        contenders = build(models, bundles, options, compute_type, bool(plan.clients), stack)
        for contender in contenders:
            for source in sources[: 2 if contender.slow else plan.warm_up]:
                contender.answer([contender.prepare(source)])
        gc.collect()
        gc.freeze()  # what is loaded by now is never garbage; looking through it would cost all of them
        batches = {c.name: best_batch(c, sources, plan.seconds) for c in contenders if len(c.batches) > 1}
        blocks, loads = run_rounds(contenders, {n: b["max_batch"] for n, b in batches.items()}, sources, plan)
        outputs = compare_outputs(contenders, sources[: plan.compared])
        steadiness = compare_alone_and_together(contenders, sources[: plan.compared])
    phases = {phase: {name: summarize(found) for name, found in by_name.items()} for phase, by_name in blocks.items()}
    return {
        "model": models.title,
        "phases": phases,
        "bars": hold(size, phases),
        "outputs_against_transformers": outputs,
        "outputs_together_against_alone": steadiness,
        "batches": batches,
        "load_average_each_round": loads,
        "seconds": round(time.perf_counter() - started, 1),
    }


def export(models: Models, scratch: Path, calibration: Sequence[Source]) -> dict[str, Bundle]:
    """Write the engine's bundles of both precisions."""
    checkpoint = load_checkpoint(models.checkpoint)
    return {
        precision: export_bundle(checkpoint, scratch / precision, precision, calibration=calibration)
        for precision in PRECISIONS
    }


def build(
    models: Models,
    bundles: dict[str, Bundle],
    options: GenerationOptions,
    compute_type: str,
    in_flight: bool,
    stack: ExitStack,
) -> list[Contender]:
    """Load every contender; the first is what outputs are compared with. `stack` closes what must be closed."""
    checkpoint = load_checkpoint(models.checkpoint)
    specials = checkpoint.special_tokens
    contenders = [
        transformers_contender(checkpoint, options),
        optimum_contender(models.optimum, options, specials),
        ctranslate2_contender(models.ctranslate2, options, specials, compute_type),
        engine_contender("OneBar fp32", Engine(bundles["fp32"]), options),
        engine_contender("OneBar int8, ONNX Runtime", Engine(bundles["int8"], backend="onnxruntime"), options),
        engine_contender(ENGINE, Engine(bundles["int8"]), options),
    ]
    if in_flight:
        scheduler = Scheduler(bundles["int8"])
        stack.callback(scheduler.close)
        contenders.append(in_flight_contender(IN_FLIGHT, scheduler, options))
    return contenders


def run_rounds(
    contenders: Sequence[Contender], batches: dict[str, int], sources: Sequence[Source], plan: Plan
) -> tuple[dict[str, dict[str, list[Block]]], list[float]]:
    """Let the contenders take turns; return the blocks by phase and contender, and the load average of each round."""
    blocks: dict[str, dict[str, list[Block]]] = {phase: {} for phase in (ALONE, *map(str, plan.clients))}
    prepared = {c.name: [c.prepare(source) for source in sources] for c in contenders}
    loads = []
    for number in tqdm(range(plan.rounds), desc="rounds"):
        loads.append(round(os.getloadavg()[0], 2))
        shift = number % len(contenders)
        in_turn = [*contenders[shift:], *contenders[:shift]]
        for clients in (1, *plan.clients):
            for contender in in_turn:
                if clients > 1 and (not contender.takes_many or (contender.slow and number >= plan.slow_rounds)):
                    continue
                name = contender.name
                seconds = plan.seconds if clients == 1 else 2 * plan.seconds
                contender.answer(prepared[name][:1])  # the caches are another's
                load = ask(contender, repeat(prepared[name], 7 * number), clients, batches.get(name, 1), seconds)
                blocks[str(clients)].setdefault(name, []).append(Block(load.latencies, load.throughput, load.cores))
    return blocks, loads


def ask(contender: Contender, sources: Iterator[Any], clients: int, max_batch: int, seconds: float) -> Load:
    """Let clients ask one contender, in the way that it takes requests."""
    if contender.submit is not None:
        return uvloop.run(ask_concurrently(contender.submit, sources, clients, seconds))
    return ask_in_batches(contender.answer, sources, clients, min(clients, max_batch), seconds)


def compare_outputs(contenders: Sequence[Contender], sources: Sequence[Source]) -> dict[str, dict[str, float]]:
    """Compare everyone's answers with those of the first contender."""
    reference = contenders[0].hypotheses(sources, 1)
    return {c.name: compare(c.hypotheses(sources, 1), reference).to_dict() for c in contenders[1:]}


def compare_alone_and_together(
    contenders: Sequence[Contender], sources: Sequence[Source]
) -> dict[str, dict[str, float]]:
    """Compare the answers to requests that are served together with those to the same requests one by one.

    Sources are cut to uneven lengths, as those of real requests are.
    """
    uneven = [[*source[: max(8, len(source) * (n % 7 + 1) // 7) - 1], source[-1]] for n, source in enumerate(sources)]
    return {
        c.name: compare(c.hypotheses(uneven, TOGETHER), c.hypotheses(uneven, 1)).to_dict()
        for c in contenders
        if c.takes_many
    }
