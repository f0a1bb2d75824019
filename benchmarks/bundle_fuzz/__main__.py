"""`python -m benchmarks.bundle_fuzz`: try many faults, and fail where one is not handled."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click

from benchmarks.bundle_fuzz.trial import BACKENDS, Outcome, try_one

DEMO = Path(__file__).resolve().parents[2] / "demo" / "bundle"


def try_many(
    bundle: Path, seed: int, indices: Sequence[int], workers: int, backends: Sequence[str]
) -> Iterator[Outcome]:
    """Try the faults of these numbers, in several processes, and yield their outcomes in order."""
    with tempfile.TemporaryDirectory(prefix="bundle-fuzz-") as scratch:
        one = partial(try_one, bundle, Path(scratch), seed, backends=backends)
        if workers == 1:
            yield from map(one, indices)
        else:
            with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
                yield from pool.map(one, indices, chunksize=20)


@click.command()
@click.option("--mutations", default=5000, show_default=True, help="How many faults.")
@click.option("--seed", default=0, show_default=True, help="Decides all faults.")
@click.option("--only", type=int, help="Try the fault of this number alone.")
@click.option("--workers", default=1, show_default=True, help="Processes.")
@click.option("--bundle", default=DEMO, type=click.Path(path_type=Path, exists=True), help="The bundle to change.")
@click.option("--backend", "backends", multiple=True, type=click.Choice(BACKENDS), default=BACKENDS, help="Backends.")
@click.option("--output", type=click.Path(path_type=Path), help="Where to write all outcomes as JSON lines.")
def main(
    mutations: int,
    seed: int,
    only: int | None,
    workers: int,
    bundle: Path,
    backends: tuple[str, ...],
    output: Path | None,
) -> None:
    """Put faults into copies of a bundle: each must be refused with one sentence, or run with right results."""
    began = time.monotonic()
    indices = range(mutations) if only is None else [only]
    counts: Counter[str] = Counter()
    unsound = 0
    with output.open("w", encoding="utf-8") if output else nullcontext() as lines:
        for outcome in try_many(bundle, seed, indices, workers, backends):
            counts[outcome.result] += 1
            unsound += not outcome.sound
            if lines:
                lines.write(json.dumps(asdict(outcome)) + "\n")
            if not outcome.sound or only is not None:
                click.echo(f"{outcome.index} {outcome.mutation} ({outcome.change}): {outcome.result}, {outcome.detail}")
    told = ", ".join(f"{count} {result}" for result, count in counts.most_common())
    click.echo(f"{counts.total()} faults in {time.monotonic() - began:.0f} s: {told}")
    sys.exit(1 if unsound else 0)


if __name__ == "__main__":
    main()
