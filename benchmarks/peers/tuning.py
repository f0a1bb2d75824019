"""CTranslate2's best settings on this machine, and the best batch of each contender."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks.peers.clients import ask_in_batches, repeat
from benchmarks.peers.contenders import Contender, Source, ctranslate2_contender
from generation.bundle import SpecialTokens
from generation.options import GenerationOptions

P = ParamSpec("P")
T = TypeVar("T")

ISA = "CT2_FORCE_CPU_ISA"
COMPUTE_TYPES = ("int8", "int8_float32")


def in_fresh_process(
    environment: Mapping[str, str], function: Callable[P, T], *arguments: P.args, **options: P.kwargs
) -> T:
    """Call a function in a new process with these variables set: libraries read theirs once, when they are loaded."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *arguments, **options).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def instruction_sets(flags: Sequence[str]) -> list[str]:
    """Return the values of CT2_FORCE_CPU_ISA worth trying; "" leaves the choice to CTranslate2.

    It chooses AVX2 on AMD, whatever that has besides.
    """
    return ["", "AVX512"] if "avx512f" in flags else [""]


def time_compute_types(
    folder: Path, sources: Sequence[Source], options: GenerationOptions, specials: SpecialTokens, rounds: int
) -> dict[str, float]:
    """Return the milliseconds of one request under each compute type, in turns.

    The least of all, so that what else the machine does cannot choose the settings.
    """
    contenders = {kind: ctranslate2_contender(folder, options, specials, kind) for kind in COMPUTE_TYPES}
    spent: dict[str, list[float]] = {kind: [] for kind in COMPUTE_TYPES}
    for kind, source in itertools.product(COMPUTE_TYPES, sources[:3]):  # warm-up
        contenders[kind].answer([contenders[kind].prepare(source)])
    for _, kind in itertools.product(range(rounds), COMPUTE_TYPES):
        for source in sources[:5]:
            prepared = [contenders[kind].prepare(source)]
            started = time.perf_counter()
            contenders[kind].answer(prepared)
            spent[kind].append((time.perf_counter() - started) * 1000)
    return {kind: round(min(values), 3) for kind, values in spent.items()}


def tune_ctranslate2(
    folder: Path,
    flags: Sequence[str],
    sources: Sequence[Source],
    options: GenerationOptions,
    specials: SpecialTokens,
    rounds: int,
) -> dict[str, Any]:
    """Try instruction sets and compute types, one request at a time.

    Returns:
        {"tried_ms": {instruction set: {compute type: least}}, "isa": the fastest, "compute_type": the fastest}
    """
    tried = {
        isa or "its own choice": in_fresh_process(
            {ISA: isa} if isa else {}, time_compute_types, folder, sources, options, specials, rounds
        )
        for isa in instruction_sets(flags)
    }
    _, isa, kind = min((value, isa, kind) for isa, found in tried.items() for kind, value in found.items())
    return {"tried_ms": tried, "isa": isa if isa in instruction_sets(flags) else "", "compute_type": kind}


def best_batch(contender: Contender, sources: Sequence[Source], seconds: float) -> dict[str, Any]:
    """Try every size of batch with twice as many clients, so that a full batch always waits.

    Returns:
        {"tried_per_second": {size: requests answered a second}, "max_batch": the size with most}
    """
    prepared = [contender.prepare(source) for source in sources]
    tried = {
        size: round(ask_in_batches(contender.answer, repeat(prepared), size, size, seconds).throughput, 2)
        for size in contender.batches
    }
    return {"tried_per_second": tried, "max_batch": max(tried, key=tried.__getitem__)}
