"""How long does cleaning one field take, whatever it holds?

    python -m benchmarks.cleaning --output build/cleaning.json
    python -m benchmarks.cleaning --captions captions.txt --against old/cleaning.py

Each family of `benchmarks.hostile` is cleaned by each public function, at 4,096 characters. A file of captions, one a
line, is cleaned too. Another `cleaning.py` (of an earlier commit, in one file) is measured beside this one, each
hostile text once, as it may take half a minute. Times are of the thread's CPU.
"""

from __future__ import annotations

import gc
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from benchmarks.hostile import families, grown
from evidence import cleaning
from loadtest.machine import begin_result, finish_result
from loadtest.samples import percentile

FUNCTIONS = ("clean_text", "strip_summary_prefix", "clean_query")
PERCENTS = (50.0, 99.0, 99.9, 100.0)

Cleaner = Callable[[str], str]


def milliseconds(clean: Cleaner, text: str) -> float:
    """Return the CPU time of one call."""
    started = time.thread_time()
    clean(text)
    return (time.thread_time() - started) * 1000


def measure_families(module: Any, characters: int, repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return median and maximum for each family and function, in milliseconds."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for family, unit in tqdm(families().items(), desc="families", leave=False, disable=None):
        text = grown(unit, characters)
        found[family] = {}
        for name in FUNCTIONS:
            times = [milliseconds(getattr(module, name), text) for _ in range(repeats)]
            found[family][name] = {"median": round(statistics.median(times), 3), "max": round(max(times), 3)}
    return found


def measure_captions(module: Any, captions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return percentiles over captions for each function, in milliseconds, each caption at its faster of two runs."""
    found = {}
    for name in FUNCTIONS:
        clean = getattr(module, name)
        times = sorted(min(milliseconds(clean, text), milliseconds(clean, text)) for text in captions)
        found[name] = {f"p{percent:g}": round(percentile(times, percent), 3) for percent in PERCENTS}
    return found


def load_module(path: Path) -> Any:
    """Import another cleaning.py, which must stand alone."""
    spec = importlib.util.spec_from_file_location("cleaning_before", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def print_families(now: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Print a row for each family, the most expensive first: median and maximum, and the other module's time."""
    worst = {family: max(times["median"] for times in found.values()) for family, found in now.items()}
    click.echo(f"{'family':32}" + "".join(f"{name:>22}" for name in FUNCTIONS) + "   ms, median and max")
    for family in sorted(worst, key=lambda family: -worst[family]):
        row = f"{family:32}"
        for name in FUNCTIONS:
            times = now[family][name]
            earlier = f"{before[family][name]['median']:.1f} ->" if before else ""
            row += f"{earlier:>10}{times['median']:6.2f}{times['max']:6.2f}"
        click.echo(row)
    click.echo(f"worst: {max(worst, key=lambda family: worst[family])}, median {max(worst.values()):.2f} ms")


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--characters", type=click.IntRange(min=1), default=4096, help="Of each hostile text.")
@click.option("--repeats", type=click.IntRange(min=1), default=15, help="Of each hostile text.")
@click.option("--captions", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="UTF-8, one a line.")
@click.option("--against", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Another cleaning.py.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(characters: int, repeats: int, captions: Path | None, against: Path | None, output: Path | None) -> None:
    """Measure, print, and write."""
    started = begin_result("cleaning")
    lines = captions.read_text(encoding="utf-8").splitlines() if captions else []
    other = load_module(against) if against else None
    gc.disable()  # a collection would be charged to the text that happens to start it
    hostile = measure_families(cleaning, characters, repeats)
    hostile_before = measure_families(other, characters, 1) if other else None
    real = measure_captions(cleaning, lines) if lines else None
    real_before = measure_captions(other, lines) if lines and other else None
    gc.enable()
    print_families(hostile, hostile_before)
    for label, found in (("before", real_before), ("now", real)):
        for name, figures in (found or {}).items():
            click.echo(f"{len(lines)} captions, {label}, {name}: {figures} ms")
    if output:
        result = {
            **started,
            "unit": "ms of CPU",
            "characters": characters,
            "repeats": repeats,
            "families": hostile,
            "families_before": hostile_before,
            "captions": len(lines),
            "real": real,
            "real_before": real_before,
        }
        finish_result(result, output)


if __name__ == "__main__":
    sys.exit(main())
