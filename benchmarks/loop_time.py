"""How long does the worst body hold the event loop of a running service, and how long the worst batch?

    python -m benchmarks.loop_time --output build/loop_time.json

Starts `onebar serve` and sends one request after another: ordinary ones for comparison, bodies of 64 KiB that are made
to be expensive (each family of `benchmarks.hostile`, and bodies full of faults), and batches of 256 KiB of the same.
The service measures the lag of its event loop 50 times a second; the largest lag of each part is reported, with the
time that the slowest request took. A lag contains what other processes take from the CPU: compare it with that of the
ordinary requests and of the idle service. `benchmarks.request_cost` measures the CPU time of one body alone.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from benchmarks.hostile import families
from benchmarks.live_service import LAG_METRIC, LARGEST_LAG_METRIC, LiveService, live_service
from benchmarks.request_cost import SHORT_QUERY, body_of, refused_bodies
from loadtest.histograms import quantile
from loadtest.machine import begin_result, finish_result
from loadtest.stack import console_command
from service.answering.request import MAX_QUERY_CHARACTERS

MAX_BATCH_BYTES = 256 * 1024
WINDOW_SECONDS = 31.0
"""The service forgets its largest lag after so long."""
PAUSE_SECONDS = 0.013
"""Between requests; no multiple of the 20 ms after which the service looks at its loop."""


def worst_bodies() -> Iterator[bytes]:
    """Yield bodies of up to 64 KiB."""
    for unit in families().values():
        yield body_of(unit, MAX_QUERY_CHARACTERS)
        yield body_of(unit, SHORT_QUERY)
    yield from refused_bodies().values()


def worst_batches() -> Iterator[bytes]:
    """Yield batches of up to 256 KiB: four of the worst bodies, sixteen small ones, and items without number."""
    for body in worst_bodies():
        count = (MAX_BATCH_BYTES - 16) // (len(body) + 1)
        yield b'{"requests":[' + b",".join([body] * min(16, count)) + b"]}"
    for unit in families().values():
        caption = json.loads(body_of(unit, MAX_QUERY_CHARACTERS))["evidence"]["caption"]
        item = json.dumps({"photo_id": "p", "evidence": {"caption": caption}}, ensure_ascii=False).encode()
        yield b'{"requests":[' + b",".join([item] * 16) + b"]}"
    yield b'{"requests":[' + b"0," * 131_000 + b"0]}"
    yield b'{"requests":[' + b"{}," * 87_000 + b"{}]}"


def measure(service: LiveService, path: str, bodies: Iterable[bytes], repeats: int) -> dict[str, Any]:
    """Send each body some times; return the lag of the loop, and the slowest request."""
    time.sleep(WINDOW_SECONDS)
    before, load, largest, slowest, sent = service.metrics(), os.getloadavg()[0], 0.0, 0.0, 0
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    looked = time.monotonic()
    for body in itertools.chain.from_iterable([body] * repeats for body in bodies):
        began = time.perf_counter()
        if body:
            connection.request("POST", path, body, {"content-type": "application/json"})
            connection.getresponse().read()
            sent += 1
        slowest = max(slowest, time.perf_counter() - began)
        time.sleep(PAUSE_SECONDS)
        if time.monotonic() > looked + 5:
            largest, looked = max(largest, service.metrics().total(LARGEST_LAG_METRIC)), time.monotonic()
    after = service.metrics()
    lag = after.since(before).buckets(LAG_METRIC)
    return {
        "sent": sent,
        "event_loop_lag_ms": {
            **{f"p{q:g}": round(quantile(lag, q / 100) * 1000, 2) for q in (50, 99, 99.9)},
            "max": round(max(largest, after.total(LARGEST_LAG_METRIC)) * 1000, 1),
        },
        "slowest_request_ms": round(slowest * 1000, 1),
        "load_average": round(load, 2),
    }


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), default=Path("demo/bundle"))
@click.option("--evidence", type=click.Path(exists=True, path_type=Path), default=Path("demo/evidence"))
@click.option("--repeats", type=click.IntRange(min=1), default=5, help="Of each body.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(bundle: Path, evidence: Path, repeats: int, output: Path | None) -> None:
    """Measure the idle service, ordinary requests, bodies and batches; the help text is the module's docstring."""
    result = begin_result("loop_time", "uvicorn", "pydantic", "tokenizers")
    ordinary = json.dumps({"photo_id": "p", "evidence": {"caption": "New CFMOTO 675NK! #bikes"}}).encode()
    bodies, batches = list(worst_bodies()), list(worst_batches())
    parts: dict[str, tuple[str, list[bytes]]] = {
        "idle": ("/recommend", [b""] * len(bodies)),
        "ordinary requests": ("/recommend", [ordinary] * len(bodies)),
        "worst bodies": ("/recommend", bodies),
        "worst batches": ("/recommend/batch", batches),
    }
    found = {}
    with tempfile.TemporaryDirectory() as work, live_service(
        Path(console_command()), bundle, evidence, Path(work), environment={"RESULT_CACHE__TTL_SECONDS": "0.000001"}
    ) as service:  # fmt: skip
        for name, (path, sent) in parts.items():
            found[name] = measure(service, path, sent, repeats)
            tqdm.write(f"{name}: {json.dumps(found[name])}", file=sys.stdout)
    finish_result(result | {"repeats": repeats, "parts": found}, output)


if __name__ == "__main__":
    main()
