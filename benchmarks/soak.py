"""Does memory stay flat over a hundred thousand requests of random length?

    python -m benchmarks.soak --output build/soak.json --plot build/soak.svg
    python -m benchmarks.soak --bundle build/bundle --requests 100000

Sixteen requests are kept in flight. Sources have every length that the model can read. Options change from request to
request. Some requests are cancelled, and some have a deadline that cannot be met. Resident memory is read after every
thousand answers. The figure of interest is its growth after the first tenth.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
from tqdm import tqdm

from generation.bundle import Bundle, load_bundle
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from generation.results import Generation
from generation.scheduler import Scheduler
from loadtest.machine import begin_result, finish_result

IN_FLIGHT = 16
EVERY = 1000
OPTIONS = (
    GenerationOptions(max_new_tokens=10),
    GenerationOptions(max_new_tokens=16, early_stopping=True),
    GenerationOptions(max_new_tokens=10, no_repeat_ngram_size=2),
    GenerationOptions(num_beams=4, num_return_sequences=4, max_new_tokens=8),
)
ODDS = (0.7, 0.2, 0.05, 0.05)
CANCELLED, LATE = 0.01, 0.01


def resident_mb() -> float:
    """Return the resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(bundle: Bundle, requests: int, seed: int = 0) -> list[tuple[int, float]]:
    """Answer `requests` requests and return (answers so far, resident MB) after every thousand."""
    generator = np.random.default_rng(seed)
    sizes = bundle.architecture
    scheduler = Scheduler(bundle)
    flying: set[Future[Generation]] = set()
    answered = 0
    seen = [(0, resident_mb())]
    with tqdm(total=requests, desc="requests") as progress:
        while answered < requests:
            while len(flying) < IN_FLIGHT:
                length = int(generator.integers(1, sizes.max_positions - 1))
                source = [0, *generator.integers(7, sizes.vocab_size, length).tolist(), 2]
                options = OPTIONS[int(generator.choice(len(OPTIONS), p=ODDS))]
                deadline = time.perf_counter() + 1e-3 if generator.random() < LATE else None
                future = scheduler.submit_future(GenerationRequest(source, options, deadline))
                if generator.random() < CANCELLED:
                    future.cancel()
                flying.add(future)
            done, flying = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                check(future, late_allowed=True)
            before, answered = answered, answered + len(done)
            progress.update(len(done))
            if answered // EVERY > before // EVERY:
                seen.append((answered, round(resident_mb(), 2)))
    scheduler.close()
    return seen


def check(future: Future[Generation], *, late_allowed: bool) -> None:
    """Check one answer; a cancelled request is right.

    Raises:
        AssertionError: there are no hypotheses, and no deadline explains that.
        Exception: what the engine raised.
    """
    try:
        generation = future.result()
    except CancelledError:
        return
    assert generation.hypotheses or (late_allowed and generation.deadline_reached)


def plot(seen: list[tuple[int, float]], path: Path) -> None:
    """Draw resident memory over answers."""
    import matplotlib as mpl  # only the plot needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "soak"
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6.4, 3.2))
    axis.plot(*zip(*seen, strict=True))
    axis.set_ylim(bottom=0)
    axis.set_xlabel("requests answered")
    axis.set_ylabel("resident memory, MB")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


@click.command()
@click.option("--bundle", "path", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Default: tiny.")
@click.option("--requests", type=click.IntRange(min=EVERY), default=100_000, show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
@click.option("--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Where to draw it, as SVG.")
def main(path: Path | None, requests: int, output: Path | None, picture: Path | None) -> None:
    """Measure resident memory over many requests."""
    result = begin_result("soak", "numpy", "onnxruntime")
    with tempfile.TemporaryDirectory() as scratch:
        bundle = load_bundle(path or _tiny(Path(scratch) / "tiny"))
        started = time.perf_counter()
        seen = soak(bundle, requests)
        settled = [mb for answered, mb in seen if answered >= requests // 10]
        result |= {
            "model_version": bundle.model_version,
            "architecture": bundle.manifest["architecture"],
            "requests": requests,
            "in_flight": IN_FLIGHT,
            "requests_per_second": round(requests / (time.perf_counter() - started), 1),
            "resident_mb_after_a_tenth": settled[0],
            "resident_mb_most_after_a_tenth": max(settled),
            "resident_mb_at_the_end": settled[-1],
            "resident_mb": seen,
        }
    click.echo(json.dumps({key: value for key, value in result.items() if key != "resident_mb"}, indent=2))
    finish_result(result, output)
    if picture:
        plot(seen, picture)


def _tiny(path: Path) -> Path:
    """Build the bundle in another process: torch's memory must not count here."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.random_model import build_random_bundle; "
        "build_random_bundle(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
