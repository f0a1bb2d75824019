"""What becomes of requests when more come than can be answered?

    python -m benchmarks.overload --output build/overload.json
    python -m benchmarks.overload --seconds 20 --factors 1,2

Starts Redis and `onebar serve` as their users do, with the result cache off. Three parts:
- capacity: a few clients that each ask again as soon as they are answered, with time enough for every answer to be
  whole. The answers a second are the capacity.
- open loop: Poisson arrivals at multiples of it, each request with the deadline that it has by default. Arrivals do
  not wait for answers. What counts is goodput, whole answers a second, and what was promised: those that are let in
  should be answered whole, and those that cannot be should hear 429 at once.
- bursts: sixteen requests at once (a feed page) for a service that has nothing else to do.

An answer is whole if nothing is in `degraded`; cut if the deadline ended the search and there are queries, or there may
have been; empty if the deadline came before the search had begun.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from loadtest.machine import begin_result, finish_result
from loadtest.open_loop import Client, run_rate
from loadtest.samples import percentile, waits_ms
from loadtest.stack import address_of, running_stack
from loadtest.traffic import WARM, Mix, Traffic, open_traffic

CLIENTS = 8
PATIENT_MS = 1000.0
PAGE = 16
BURST_DEADLINES_MS = (25.0, 50.0, 100.0)


async def measure_capacity(client: Client, traffic: Traffic, seconds: float) -> float:
    """Return the answers a second of clients that ask again as soon as they are answered."""
    until = time.perf_counter() + seconds
    answered = 0

    async def ask() -> None:
        nonlocal answered
        while time.perf_counter() < until:
            body = json.dumps({**traffic.call(WARM).body, "deadline_ms": PATIENT_MS}).encode()
            status, _ = await client.post("/recommend", body)
            answered += status == 200

    await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    return answered / seconds


async def measure_rate(client: Client, traffic: Traffic, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    """Return what became of the requests of one rate; shares are of what was sent, or of what was let in."""
    samples = await run_rate(client, traffic, rate, seconds, seed)
    admitted = [sample for sample in samples if sample.status == 200]
    outcomes = [outcome for sample in admitted for outcome in sample.outcomes]
    fates = Counter(fate(outcome.reason, outcome.degraded) for outcome in outcomes)
    refused = [sample.since_due_ms for sample in samples if sample.refused]
    share = {name: round(fates[name] / max(1, len(outcomes)), 3) for name in ("whole", "cut", "empty", "otherwise")}
    return {
        "rate": round(rate, 1),
        "sent": len(samples),
        "refused": round(len(refused) / max(1, len(samples)), 3),
        "of_those_let_in": share,
        "whole_per_second": round(fates["whole"] / seconds, 1),
        "failed": len(samples) - len(admitted) - len(refused),
        "answer_ms": distribution(waits_ms(samples)),
        "refusal_ms": distribution(refused),
        "lag_ms": distribution(sample.lag_ms for sample in samples),
    }


async def measure_bursts(client: Client, traffic: Traffic, bursts: int, deadline_ms: float) -> dict[str, Any]:
    """Return what became of pages of sixteen, one page at a time."""
    fates: Counter[str] = Counter()
    for _ in range(bursts):
        page = [{**traffic.call(WARM).body, "deadline_ms": deadline_ms} for _ in range(PAGE)]
        _, content = await client.post("/recommend/batch", json.dumps({"requests": page}).encode())
        for result in json.loads(content)["results"]:
            answer = result["response"]
            fates[fate(answer["reason"], answer["degraded"]) if answer else f"status {result['status']}"] += 1
    return {name: round(count / bursts, 2) for name, count in fates.most_common()}


def fate(reason: str | None, degraded: Iterable[str]) -> str:
    """Say how whole an answer is."""
    causes = set(degraded)
    if not causes:
        return "whole"
    if "deadline" in causes:
        return "empty" if reason == "deadline" else "cut"
    return "otherwise"


def distribution(values: Iterable[float]) -> dict[str, float]:
    """Percentiles of some milliseconds."""
    ordered = sorted(values)
    return {f"p{percent:g}": round(percentile(ordered, percent), 2) for percent in (50.0, 99.0)} if ordered else {}


async def measure(url: str, traffic: Traffic, factors: list[float], seconds: float, bursts: int) -> dict[str, Any]:
    """Run the three parts against one service."""
    host, port, prefix = address_of(url)
    async with aclosing(Client(host, port, prefix=prefix)) as client:
        await measure_capacity(client, traffic, 1.0)  # for warming up
        capacity = await measure_capacity(client, traffic, min(seconds, 5.0))
        await measure_rate(client, traffic, capacity, 1.0, seed=0)  # so that the connections are open
        open_loop = {}
        for factor in tqdm(factors, desc="rates", leave=False, disable=None):
            found = await measure_rate(client, traffic, factor * capacity, seconds, seed=1)
            open_loop[f"{factor:g} x capacity"] = found
            shares = found["of_those_let_in"]
            tqdm.write(
                f"{factor:4g} x, {found['rate']:6.1f}/s: refused {found['refused']:6.1%}; of those let in whole "
                f"{shares['whole']:6.1%}, cut {shares['cut']:6.1%}, empty {shares['empty']:6.1%}; "
                f"{found['whole_per_second']:.1f} whole/s; p99 {found['answer_ms'].get('p99')} ms",
                file=sys.stdout,
            )
        pages = {f"{d:g} ms": await measure_bursts(client, traffic, bursts, d) for d in BURST_DEADLINES_MS}
        tqdm.write(f"pages of {PAGE}: {pages}", file=sys.stdout)
    return {"capacity_per_second": round(capacity, 1), "open_loop": open_loop, f"pages_of_{PAGE}": pages}


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("demo/bundle"))
@click.option("--evidence", type=click.Path(path_type=Path), default=Path("demo/evidence"))
@click.option("--factors", default="0.5,1,1.5,2,4", help="Multiples of the capacity.")
@click.option("--seconds", type=click.FloatRange(min=1), default=10.0, help="Time at each rate.")
@click.option("--bursts", type=click.IntRange(min=1), default=20, help="Pages for each deadline.")
@click.option("--seed", type=int, default=0, help="Of the traffic.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    bundle: Path, evidence: Path, factors: str, seconds: float, bursts: int, seed: int, output: Path | None
) -> None:
    """Start the service and measure it under more load than it can serve; the help text is the module's docstring."""
    result = begin_result("overload", "onnxruntime")
    multiples = [float(factor) for factor in factors.split(",")]
    os.environ["ONEBAR_RESULT_CACHE__MAX_BYTES"] = "0"
    with tempfile.TemporaryDirectory() as scratch, running_stack(bundle, evidence, Path(scratch)) as stack:
        traffic = open_traffic(evidence, seed, Mix(batch=0))
        found = asyncio.run(measure(stack.url, traffic, multiples, seconds, bursts))
    finish_result(result | {"store": stack.store, "seconds_at_each_rate": seconds} | found, output)


if __name__ == "__main__":
    sys.exit(main())
