"""What does a client that sends worst-case captions cost the others?

    python -m benchmarks.hostile_neighbour --output build/hostile_neighbour.json
    python -m benchmarks.hostile_neighbour --command ../before/.venv/bin/onebar      # the same for another checkout

Starts Redis and `onebar serve` as their users do, with a result cache that keeps nothing. Innocent clients send
ordinary requests at 10 a second (Poisson arrivals). Beside them one client sends requests whose captions, of 4,096
characters, are made to be expensive, at 50 a second: each family of `benchmarks.hostile` in turn. Then the same with
whole bodies that are made to be expensive, of up to 64 KiB, and, for comparison, with ordinary requests. Arrivals do
not wait for answers, latency counts from the time at which a request was due, and a client gives up after 10 seconds.
The load average is reported, since a busy machine adds to the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from benchmarks.fuzz.bodies import encoded, expensive_body, usable
from benchmarks.hostile import families, grown
from benchmarks.live_service import LAG_METRIC, LARGEST_LAG_METRIC, LiveService, live_service
from loadtest.histograms import quantile
from loadtest.machine import begin_result, finish_result
from loadtest.open_loop import Client
from loadtest.samples import judge_call, percentile
from loadtest.stack import console_command
from loadtest.traffic import Call, Mix, Traffic, open_traffic

INNOCENT_RATE = 10.0
HOSTILE_RATE = 50.0
CAPTION_CHARACTERS = 4096
PATIENCE_SECONDS = 10.0
WARM_UP = 30


@dataclass(slots=True)
class Tally:
    """What came of the requests of one sender; latencies are of those that got an answer or gave up."""

    latencies_ms: list[float] = field(default_factory=list)
    lags_ms: list[float] = field(default_factory=list)
    refused: int = 0
    cut: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return the percentiles and shares."""
        sent = len(self.latencies_ms)
        shares = {name: round(getattr(self, name) / max(1, sent), 4) for name in ("refused", "cut", "lost")}
        times = {f"p{p:g}": round(percentile(self.latencies_ms, p), 1) for p in (50.0, 95.0, 99.0)} if sent else {}
        return {
            "sent": sent,
            "ms": times | {"max": round(max(self.latencies_ms, default=0.0), 1)},
            **shares,
            "left_late_ms_p99": round(percentile(self.lags_ms, 99), 1) if sent else 0.0,
            "faults": self.faults[:3],
        }


def hostile_captions() -> Iterator[bytes]:
    """Yield bodies with a caption of each family, without end."""
    for number, unit in enumerate(cycle(families().values())):
        caption = usable(grown(unit, CAPTION_CHARACTERS))
        # A number in front, so that no two are equal, and nothing else in them is.
        yield encoded({"photo_id": f"hostile-{number}", "evidence": {"caption": f"{number} {caption}"[:4096]}})


def hostile_bodies() -> Iterator[bytes]:
    """Yield whole bodies that are made to be expensive, without end."""
    return cycle([expensive_body(unit) for unit in families().values()])


async def send(
    client: Client, rate: float, seconds: float, seed: int, next_call: Callable[[], tuple[bytes, Call | None]]
) -> Tally:
    """Send Poisson arrivals for some seconds. With a call, its answer is judged."""
    arrivals, tally, clock = random.Random(seed), Tally(), asyncio.get_running_loop().time
    began = clock()
    due = began + arrivals.expovariate(rate)

    async def one(body: bytes, call: Call | None, due: float) -> None:
        tally.lags_ms.append((clock() - due) * 1000)
        try:
            status, content = await client.post("/recommend", body)
        except OSError:
            tally.lost += 1
            return
        finally:
            tally.latencies_ms.append((clock() - due) * 1000)
        tally.refused += status == 429
        if call is not None:
            faults, outcomes = judge_call(call, status, content)
            tally.faults += faults
            tally.cut += sum("deadline" in outcome.degraded for outcome in outcomes)

    async with asyncio.TaskGroup() as requests:
        while due < began + seconds:
            body, call = next_call()
            await asyncio.sleep(max(0.0, due - clock()))
            requests.create_task(one(body, call, due))
            due += arrivals.expovariate(rate)
    return tally


async def measure(
    service: LiveService, traffic: Traffic, hostile: Iterator[bytes] | None, seconds: float, seed: int
) -> dict[str, Any]:
    """Return what the innocent clients saw, beside a hostile one where there is one."""

    def innocent_call() -> tuple[bytes, Call]:
        call = traffic.next_call()
        return json.dumps(call.body).encode(), call

    before = await asyncio.to_thread(service.metrics)
    load = os.getloadavg()[0]
    async with (
        aclosing(Client("127.0.0.1", service.port, timeout_seconds=PATIENCE_SECONDS)) as ours,
        aclosing(Client("127.0.0.1", service.port, timeout_seconds=PATIENCE_SECONDS)) as theirs,
    ):
        senders = [send(ours, INNOCENT_RATE, seconds, seed, innocent_call)]
        if hostile is not None:
            bodies = hostile
            senders.append(send(theirs, HOSTILE_RATE, seconds, seed + 1, lambda: (next(bodies), None)))
        tallies = await asyncio.gather(*senders)
    found = {"innocent": tallies[0].figures()}
    if hostile is not None:
        found["the other client"] = tallies[1].figures()
    after = await asyncio.to_thread(service.metrics)
    lag = after.since(before).buckets(LAG_METRIC)
    found["load_average"] = {"before": round(load, 2), "after": round(os.getloadavg()[0], 2)}
    if lag:
        found["event_loop_lag_ms"] = {
            "p50": round(quantile(lag, 0.5) * 1000, 2),
            "p99": round(quantile(lag, 0.99) * 1000, 2),
            "max_of_the_last_15_s": round(after.total(LARGEST_LAG_METRIC) * 1000, 1),
        }
    return found


async def warm_up(service: LiveService, traffic: Traffic) -> None:
    """Answer some requests that are not counted."""
    async with aclosing(Client("127.0.0.1", service.port)) as client:
        for _ in range(WARM_UP):
            await client.post("/recommend", json.dumps(traffic.next_call().body).encode())


PARTS: dict[str, Callable[[Traffic], Iterator[bytes] | None]] = {
    "alone": lambda _: None,
    "beside ordinary requests": lambda traffic: (json.dumps(call.body).encode() for call in traffic),
    "beside worst-case captions": lambda _: hostile_captions(),
    "beside worst-case bodies": lambda _: hostile_bodies(),
}


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option(
    "--command", type=click.Path(exists=True, path_type=Path), help="`onebar`; by default this environment's."
)
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), default=Path("demo/bundle"))
@click.option("--evidence", type=click.Path(exists=True, path_type=Path), default=Path("demo/evidence"))
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, help="Of each part.")
@click.option("--seed", type=int, default=0, help="Of the traffic and the arrivals.")
@click.option("--part", "wanted", type=click.Choice(tuple(PARTS)), multiple=True, help="By default all.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    command: Path | None, bundle: Path, evidence: Path, seconds: float, seed: int, wanted: tuple[str, ...],
    output: Path | None,
) -> None:  # fmt: skip
    """Measure the innocent clients alone, and beside the hostile one; the help text is the module's docstring."""
    result = begin_result("hostile_neighbour", "uvicorn", "pydantic")
    found = {}
    for part in wanted or PARTS:
        # A service for each: one that is stalled by a part would stall the next.
        with tempfile.TemporaryDirectory() as work, live_service(
            command or Path(console_command()), bundle, evidence, Path(work), redis=True,
            environment={"RESULT_CACHE__TTL_SECONDS": "0.000001"},
        ) as service:  # fmt: skip
            traffic = open_traffic(evidence, seed, Mix(batch=0))
            asyncio.run(warm_up(service, traffic))
            other = PARTS[part](open_traffic(evidence, seed + 1, Mix(batch=0)))
            found[part] = asyncio.run(measure(service, traffic, other, seconds, seed))
        tqdm.write(f"{part}: {json.dumps(found[part])}", file=sys.stdout)
    finish_result(result | {"seconds": seconds, "rates": [INNOCENT_RATE, HOSTILE_RATE], "parts": found}, output)


if __name__ == "__main__":
    main()
