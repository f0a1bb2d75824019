r"""What does a change of the bundle cost the requests of its own time?

\b
    python -m benchmarks.bundle_swap                               # the shipped demo, ten changes, some minutes
    python -m benchmarks.bundle_swap --swaps 2 --quiet-seconds 4   # a short look

Starts `onebar serve` with the result cache off, and sends Poisson arrivals that do not wait for answers. First come
five quiet windows, then the changes: `onebar bundle promote`, to and fro between two bundles that differ in one number
of their manifests. The window of a change begins when its record is written, and ends when the old bundle is freed.
Latency is counted from the time at which a call was due. The aim: no failed request, and a p99 of at most 30 ms and of
at most 1.5 times the median of the quiet windows.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from benchmarks.bundle_variants import bundle_variant
from benchmarks.live_service import LARGEST_LAG_METRIC, LiveService, live_service
from benchmarks.windows import Window
from generation.bundle import load_bundle
from loadtest.machine import begin_result, finish_result
from loadtest.open_loop import Client, run_rate
from loadtest.samples import Sample, percentile
from loadtest.stack import console_command, fetch
from loadtest.traffic import Mix, Traffic, open_traffic

P99_MS = 30.0
TIMES_QUIET = 1.5
QUIET_WINDOWS = 5
LONGEST_SWAP_SECONDS = 120.0


async def swap_window(
    service: LiveService, client: Client, traffic: Traffic, rate: float, seed: int, promoted: Path, bundle: Path
) -> Window:
    """Promote a bundle, and send requests until the service has freed the one of before.

    Raises:
        RuntimeError: the service refused it, or did not change within ``LONGEST_SWAP_SECONDS``.
    """
    command = [console_command(), "bundle", "promote", str(bundle), "--promoted", str(promoted)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    wanted = json.loads((promoted / "current.json").read_text(encoding="utf-8"))["bundle_id"]
    began = time.perf_counter()
    samples: list[Sample] = []
    while True:
        # One piece after the other, so that the load ends soon after the change.
        samples += await run_rate(client, traffic, rate, 1.0, seed + len(samples))
        state = json.loads(fetch(f"http://127.0.0.1:{service.operators_port}/bundle")[1])
        seconds = time.perf_counter() - began
        if state["fault"] or seconds > LONGEST_SWAP_SECONDS:
            raise RuntimeError(f"the service did not change its bundle: {state}")
        if state["model_version"] == wanted and state["state"] == "idle":
            return Window(seconds, samples, service.resident_mb())


async def measure(
    service: LiveService, traffic: Traffic, rate: float, quiet_seconds: float, swaps: int, promoted: Path,
    bundles: tuple[Path, Path],
) -> tuple[list[Window], list[Window]]:  # fmt: skip
    """Return the quiet windows and those of the changes."""
    async with aclosing(Client("127.0.0.1", service.port)) as client:
        await run_rate(client, traffic, rate, 3.0, seed=0)  # for warming up
        quiet = []
        for number in tqdm(range(QUIET_WINDOWS), desc="quiet windows", leave=False, disable=None):
            samples = await run_rate(client, traffic, rate, quiet_seconds, seed=1 + number)
            quiet.append(Window(quiet_seconds, samples, service.resident_mb()))
        changes = []
        for number in tqdm(range(swaps), desc="changes", leave=False, disable=None):
            target = bundles[(number + 1) % 2]
            changes.append(await swap_window(service, client, traffic, rate, 1000 * number, promoted, target))
    return quiet, changes


def summary(quiet: list[Window], changes: list[Window]) -> dict[str, Any]:
    """Return the figures, and whether the aim is met. A refusal by admission control counts as a failed request."""
    usual = statistics.median(window.p(99.0) for window in quiet)
    p99s = [window.p(99.0) for window in changes]
    pooled = percentile([latency for window in changes for latency in window.latencies_ms], 99.0)
    failed = sum(len(window.failed) + len(window.refused) for window in changes)
    return {
        "quiet": [window.to_json() for window in quiet],
        "changes": [window.to_json() for window in changes],
        "median_quiet_p99_ms": round(usual, 1),
        "median_change_p99_ms": round(statistics.median(p99s), 1),
        "all_changes_p99_ms": round(pooled, 1),
        "times_quiet": round(pooled / usual, 2),
        "failed": failed,
        "met": failed == 0 and pooled <= P99_MS and pooled <= TIMES_QUIET * usual,
    }


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("demo/bundle"))
@click.option("--evidence", type=click.Path(path_type=Path), default=Path("demo/evidence"))
@click.option("--rate", type=click.FloatRange(min=1), default=30.0, help="Calls a second.")
@click.option("--swaps", type=click.IntRange(min=1), default=10, help="Changes of the bundle.")
@click.option("--quiet-seconds", type=click.FloatRange(min=1), default=10.0, help="Length of a quiet window.")
@click.option("--seed", type=int, default=0, help="Of the traffic.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    bundle: Path, evidence: Path, rate: float, swaps: int, quiet_seconds: float, seed: int, output: Path | None
) -> None:
    """Start the service and change its bundle under load; the help text is the module's docstring."""
    result = begin_result("bundle_swap", "onnxruntime")
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        promoted = work / "promoted"
        threshold = load_bundle(bundle).reject_threshold
        other = bundle_variant(bundle, work / "other", {"reject": {"threshold": 0.999 * threshold}})
        environment = {
            "RESULT_CACHE__MAX_BYTES": "0", "PROMOTION__FOLDER": str(promoted), "DRAIN_SECONDS": "0",
        }  # fmt: skip
        with live_service(Path(console_command()), bundle, evidence, work, environment=environment) as service:
            traffic = open_traffic(evidence, seed, Mix(batch=0))
            quiet, changes = asyncio.run(
                measure(service, traffic, rate, quiet_seconds, swaps, promoted, (bundle.resolve(), other))
            )
            lag = service.metrics().total(LARGEST_LAG_METRIC)
    found = summary(quiet, changes)
    for name in ("quiet", "changes"):
        for window in found[name]:
            click.echo(f"{name:8} {window}")
    click.echo(
        f"p99: quiet {found['median_quiet_p99_ms']} ms, in the changes {found['all_changes_p99_ms']} ms"
        f" ({found['times_quiet']} times); {found['failed']} failed; the aim is {'met' if found['met'] else 'missed'}"
    )
    finish_result(result | {"rate": rate, "loop_lag_max_seconds": lag} | found, output)
    sys.exit(0 if found["met"] else 1)


if __name__ == "__main__":
    main()
