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
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from benchmarks.fuzz.bodies import encoded, usable
from benchmarks.hostile import families, grown
from benchmarks.live_service import LAG_METRIC, LARGEST_LAG_METRIC, LiveService, live_service
from benchmarks.request_cost import SHORT_QUERY, body_of, refused_bodies
from loadtest.histograms import quantile
from loadtest.machine import begin_result, finish_result
from loadtest.stack import console_command
from service.answering.request import MAX_CAPTION_CHARACTERS, MAX_QUERY_CHARACTERS

MAX_BATCH_BYTES = 256 * 1024
WINDOW_SECONDS = 31.0
"""The service forgets its largest lag after so long."""
PAUSE_SECONDS = 0.013
"""Between requests; no multiple of the 20 ms after which the service looks at its loop."""


def worst_bodies(repeats: int) -> Iterator[bytes]:
    """Yield bodies of up to 64 KiB. Repetitions differ, so that no cache knows them."""
    for number in range(repeats):
        for unit in families().values():
            yield body_of(unit + chr(0x4E00 + number), MAX_QUERY_CHARACTERS)
            yield body_of(unit + chr(0x4E00 + number), SHORT_QUERY)
        yield from refused_bodies().values()


def worst_batches(repeats: int) -> Iterator[bytes]:
    """Yield batches of up to 256 KiB: of four of the worst bodies, of sixteen captions, and of items without number."""
    bodies = worst_bodies(repeats)
    while items := list(islice(bodies, 4)):
        while sum(map(len, items)) + 4 * 16 > MAX_BATCH_BYTES:
            items.pop()
        yield batch_of(items)
    units = cycle(families().values())
    for number in range(repeats * len(families()) // 4):
        captions = [usable(grown(f"{number} {unit}", MAX_CAPTION_CHARACTERS)) for unit in islice(units, 16)]
        items = [encoded({"photo_id": "p", "evidence": {"caption": caption}}) for caption in captions]
        while sum(map(len, items)) + 16 * 16 > MAX_BATCH_BYTES:
            items.pop()
        yield batch_of(items)
        yield batch_of([b"0"] * 131_000)
        yield batch_of([b"{}"] * 87_000)


def batch_of(items: list[bytes]) -> bytes:
    """Return the body of a batch."""
    return b'{"requests":[' + b",".join(items) + b"]}"


def measure(service: LiveService, path: str, bodies: Iterable[bytes]) -> dict[str, Any]:
    """Send the bodies; return the lag of the loop, and the slowest request."""
    time.sleep(WINDOW_SECONDS)
    before, load, largest, slowest, sent = service.metrics(), os.getloadavg()[0], 0.0, 0.0, 0
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    looked = time.monotonic()
    for body in bodies:
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
    parts: dict[str, tuple[str, Iterable[bytes]]] = {
        "idle": ("/recommend", [b""] * 1000),
        "ordinary requests": ("/recommend", [ordinary] * 500),
        "worst bodies": ("/recommend", worst_bodies(repeats)),
        "worst batches": ("/recommend/batch", worst_batches(repeats)),
    }
    found = {}
    with tempfile.TemporaryDirectory() as work, live_service(
        Path(console_command()), bundle, evidence, Path(work), environment={"RESULT_CACHE__TTL_SECONDS": "0.000001"}
    ) as service:  # fmt: skip
        for name, (path, sent) in parts.items():
            found[name] = measure(service, path, sent)
            tqdm.write(f"{name}: {json.dumps(found[name])}", file=sys.stdout)
    finish_result(result | {"repeats": repeats, "parts": found}, output)


if __name__ == "__main__":
    main()
