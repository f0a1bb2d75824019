"""`python -m benchmarks.roofline`: measure, and write the result as JSON and as Markdown."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import click
import numpy as np

from benchmarks.peers.models import prepare_random, random_sources
from benchmarks.peers.report import replace_between
from benchmarks.random_model import SIZES
from benchmarks.roofline.floors import (
    copy_bandwidth,
    peak_multiplications,
    products_session,
    read_bandwidth,
    time_products,
)
from benchmarks.roofline.graphs import read_weights
from benchmarks.roofline.operators import RUN, operator_milliseconds
from generation.bundle import Bundle, load_bundle
from generation.engine import Engine
from generation.options import GenerationOptions
from generation.request import GenerationRequest
from loadtest.machine import begin_result, finish_result
from model_export.checkpoint import load_checkpoint
from model_export.export import export_bundle

BEAMS = 8
STEPS = 10
SOURCE_TOKENS = 96
ROWS_TOGETHER = (8, 32, 128)  # one request, four, sixteen
STREAM_BYTES = {"256 KiB": 2**18, "4 MiB": 2**22, "16 MiB": 2**24, "256 MiB": 2**28}


def measure_bundle(
    title: str, bundle: Bundle, peaks: dict[str, float], requests: int, seconds: float
) -> dict[str, Any]:
    """Measure one bundle's encoding and steps against their floors."""
    engine = Engine(bundle)
    options = GenerationOptions(num_beams=BEAMS, min_new_tokens=STEPS - 1, max_new_tokens=STEPS)
    tokens = min(SOURCE_TOKENS, bundle.architecture.max_positions)
    sources = random_sources(requests, tokens, bundle.architecture.vocab_size, bundle.special_tokens)
    answers = [engine.generate(GenerationRequest(source, options)) for source in [*sources[:5], *sources]][5:]
    parts = {
        "encode": (bundle.encoder_path, tokens, [answer.encode_seconds for answer in answers]),
        "step": (bundle.decoder_path, BEAMS, [answer.decode_seconds / answer.steps for answer in answers]),
    }
    found: dict[str, Any] = {"model": title, "precision": bundle.precision}
    for name, (path, rows, spent) in parts.items():
        weights = read_weights(path)
        bandwidth = read_bandwidth(weights.streamed_bytes, seconds)
        session = products_session(weights.products, bundle.precision)
        measured = float(np.median(spent))
        reading = weights.streamed_bytes / bandwidth
        arithmetic = weights.multiplications(rows) / peaks[bundle.precision]
        alone = time_products(session, rows, seconds)
        found[name] = {
            "rows": rows,
            "weights_megabytes": round(weights.streamed_bytes / 1e6, 2),
            "read_gigabytes_per_second": round(bandwidth / 1e9, 1),
            "million_multiplications": round(weights.multiplications(rows) / 1e6, 1),
            "reading_ms": round(reading * 1e3, 3),
            "arithmetic_ms": round(arithmetic * 1e3, 3),
            "products_ms": round(alone * 1e3, 3),
            "measured_p50_ms": round(measured * 1e3, 3),
            "measured_min_ms": round(min(spent) * 1e3, 3),
            "measured_over_products": round(measured / alone, 2),
            "measured_over_floor": round(measured / max(reading, arithmetic), 2),
        }
        if name == "step":
            found["step_products_ms_by_rows"] = {
                str(many): round(time_products(session, many, seconds) * 1e3, 3) for many in ROWS_TOGETHER
            }
    found["operators_ms"] = operator_milliseconds(bundle, options, sources[:12])
    return found


def operator_rows(operators: dict[str, dict[str, float]]) -> Iterator[str]:
    """Return one line for each operator that takes a hundredth of a part at least."""
    totals = {part: sum(spent for kind, spent in found.items() if kind != RUN) for part, found in operators.items()}
    shares = {
        part: {kind: spent / totals[part] for kind, spent in found.items() if kind != RUN}
        for part, found in operators.items()
    }
    kinds = sorted(
        {kind for found in shares.values() for kind in found}, key=lambda kind: -shares["encode"].get(kind, 0)
    )
    for kind in kinds:
        values = [found.get(kind, 0.0) for found in shares.values()]
        if max(values) >= 0.01:
            yield f"| {kind} | " + " | ".join(f"{value:.0%}" if value else "" for value in values) + " |"


def tables(result: dict[str, Any]) -> str:
    """Return a result as Markdown."""
    caches = ", ".join(f"{level} {size // 1024} KiB" for level, size in result["machine"]["cache_bytes"].items())
    lines = [
        f"{result['machine']['cpu']} ({caches}), one thread, commit {result['commit']}, "
        f"load average before {result['machine']['load_average_before'][0]}.",
        "",
        "| buffer | read, GB/s | copy (read + written), GB/s |",
        "|---|---|---|",
        *(f"| {name} | {row['read']} | {row['copy']} |" for name, row in result["gigabytes_per_second"].items()),
        "",
        f"One large product: {result['giga_multiplications_per_second']['int8']} G multiplications a second in int8, "
        f"{result['giga_multiplications_per_second']['fp32']} in fp32.",
        "",
        "| model | part | weights, MB | reading, ms | arithmetic, ms | products alone, ms | measured p50, ms "
        "| measured / products | measured / floor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for bundle in result["bundles"]:
        for part, name in (("encode", "encoding"), ("step", "one step")):
            row = bundle[part]
            lines.append(
                f"| {bundle['model']}, {bundle['precision']} | {name}, {row['rows']} rows "
                f"| {row['weights_megabytes']} | {row['reading_ms']} | {row['arithmetic_ms']} | {row['products_ms']} "
                f"| {row['measured_p50_ms']} | {row['measured_over_products']} | {row['measured_over_floor']} |"
            )
    lines += ["", "The products of one step by rows, ms: what stepping several requests together can gain.", ""]
    lines += [
        "| model | " + " | ".join(f"{rows} rows" for rows in ROWS_TOGETHER) + " |",
        "|---" * (len(ROWS_TOGETHER) + 1) + "|",
    ]
    for bundle in result["bundles"]:
        values = " | ".join(str(bundle["step_products_ms_by_rows"][str(rows)]) for rows in ROWS_TOGETHER)
        lines.append(f"| {bundle['model']}, {bundle['precision']} | {values} |")
    lines += ["", "Where the time of the graphs goes, by operator.", ""]
    for bundle in result["bundles"]:
        parts = list(bundle["operators_ms"])
        lines += [f"| {bundle['model']} | " + " | ".join(parts) + " |", "|---" * (len(parts) + 1) + "|"]
        lines += [*operator_rows(bundle["operators_ms"]), ""]
    lines.pop()
    return "\n".join(lines)


@click.command()
@click.option("--size", "names", multiple=True, type=click.Choice(list(SIZES)), help="Default: w256, w512 and w768.")
@click.option("--bundle", "path", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Not the sizes.")
@click.option("--requests", type=click.IntRange(min=3), default=50, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0.01), default=0.5, show_default=True, help="For each floor.")
@click.option(
    "--models", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("build/peers"),
    show_default=True, help="Where checkpoints of the sizes are kept.",
)  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
@click.option("--into", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Markdown file to update.")
def main(
    names: tuple[str, ...],
    path: Path | None,
    requests: int,
    seconds: float,
    folder: Path,
    output: Path | None,
    into: Path | None,
) -> None:
    """Hold the engine's times against what the machine could do."""
    result = begin_result("roofline", "numpy", "onnx", "onnxruntime") | {
        "threads": 1,
        "num_beams": BEAMS,
        "steps": STEPS,
        "requests": requests,
        "gigabytes_per_second": {
            name: {
                "read": round(read_bandwidth(size, seconds) / 1e9, 1),
                "copy": round(copy_bandwidth(size, seconds) / 1e9, 1),
            }
            for name, size in STREAM_BYTES.items()
        },
    }
    peaks = {precision: peak_multiplications(precision, seconds) for precision in ("int8", "fp32")}
    result["giga_multiplications_per_second"] = {kind: round(peak / 1e9, 1) for kind, peak in peaks.items()}
    if path:
        result["bundles"] = [measure_bundle(path.name, load_bundle(path), peaks, requests, seconds)]
    else:
        result["bundles"] = []
        for name in names or ("w256", "w512", "w768"):
            models = prepare_random(SIZES[name], folder)
            with tempfile.TemporaryDirectory() as scratch:
                bundle = export_bundle(load_checkpoint(models.checkpoint), Path(scratch), "int8")
                result["bundles"].append(measure_bundle(SIZES[name].title, bundle, peaks, requests, seconds))
    finish_result(result, output)
    text = tables(result)
    if into:
        replace_between(into, "roofline", text)
    click.echo(text)


if __name__ == "__main__":
    sys.exit(main())
