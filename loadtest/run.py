r"""Start the service, put a feed's traffic on it for a minute, print the percentiles, and judge them.

\b
    python -m loadtest.run                                   # 20 calls a second for 60 s on the shipped demo
    python -m loadtest.run --rate 40 --seconds 30            # harder and shorter
    python -m loadtest.run --url http://127.0.0.1:8000 --admin-url http://127.0.0.1:8001 --key KEY

The last one tests a running service that has the evidence loaded; without --url, the command starts one.

The load is open: calls are sent on a schedule that does not wait for answers (see ``locustfile`` on coordinated
omission). The first seconds are a warm-up and are not in the figures. An answer with a prohibited term of the folder of
evidence is a fault. p99 is that of calls with status 200, from the time at which each was due. The exit status is 1
where the objective is missed, and 2 where the test could not run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from loadtest.gate import Objective, violations
from loadtest.histograms import Scrape
from loadtest.machine import begin_result, finish_result
from loadtest.processes import StackError
from loadtest.report import render, summarise
from loadtest.samples import read_samples
from loadtest.stack import Stack, fetch_text, running_stack

ROOT = Path(__file__).resolve().parent.parent
# One user calls every five seconds, so that an answer of even that length delays only its own user.
USER_RATE = 0.2
STARTUP_SECONDS = 20.0
DEFAULTS = Objective()


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--rate", type=click.FloatRange(min=1), default=20.0, help="Calls per second.")
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, help="Length of the measured window.")
@click.option("--warm-up", type=click.FloatRange(min=0), default=5.0, help="Seconds before it.")
@click.option("--p99-ms", type=float, default=DEFAULTS.p99_ms, help="The most that p99 of /recommend may be.")
@click.option(
    "--max-degraded", type=click.FloatRange(0, 1), default=DEFAULTS.max_degraded_share,
    help="The greatest share of calls that may be degraded, cut by their deadline, or refused with 429.",
)  # fmt: skip
@click.option("--url", help="A running service to test, instead of starting one.")
@click.option("--admin-url", help="Its admin port, for /metrics and /version; needed with --url.")
@click.option("--key", envvar="ONEBAR_KEY", help="The API key; better given in the environment, as ONEBAR_KEY.")
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("demo/bundle"))
@click.option("--evidence", type=click.Path(path_type=Path), default=Path("demo/evidence"))
@click.option("--redis/--embedded", "use_redis", default=True, help="The store; Redis only where it is installed.")
@click.option("--cache/--no-cache", "use_cache", default=False, help="Whether the service may keep generations.")
@click.option("--seed", type=int, default=0, help="Of the traffic.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("var/loadtest"), help="Folder of results.")
def main(
    rate: float, seconds: float, warm_up: float, p99_ms: float, max_degraded: float, url: str | None,
    admin_url: str | None, key: str | None, bundle: Path, evidence: Path, use_redis: bool, use_cache: bool, seed: int,
    output: Path,
) -> None:  # fmt: skip
    """Run the load test and judge it; the help text is the module's docstring."""
    if (url is None) != (admin_url is None):
        raise click.UsageError("Give --url and --admin-url together: /metrics and /version are on the admin port.")
    output.mkdir(parents=True, exist_ok=True)
    for stale in ("samples.jsonl", "before.prom", "after.prom"):
        (output / stale).unlink(missing_ok=True)
    result = begin_result("loadtest", "locust", "onnxruntime")
    try:
        with ExitStack() as parts:
            if url and admin_url:
                stack = Stack(url.rstrip("/"), admin_url.rstrip("/"), "external")
            else:
                click.echo(f"starting the service on {bundle} with the evidence of {evidence}", err=True)
                stack = parts.enter_context(running_stack(bundle, evidence, output, use_redis, use_cache))
            version = _version(stack.admin_url)
            _locust(stack, rate, warm_up + seconds, {
                "ONEBAR_LOADTEST_EVIDENCE": str(evidence), "ONEBAR_LOADTEST_USER_RATE": str(USER_RATE),
                "ONEBAR_LOADTEST_SEED": str(seed), "ONEBAR_LOADTEST_WARM_UP": str(warm_up),
                "ONEBAR_LOADTEST_RESULTS": str(output.resolve()), "ONEBAR_LOADTEST_ADMIN_URL": stack.admin_url,
            } | ({"ONEBAR_KEY": key} if key else {}), output / "locust.log")  # fmt: skip
        measured = [s for s in read_samples(output / "samples.jsonl") if warm_up <= s.due_seconds < warm_up + seconds]
        delta = _metrics_delta(output)
    except (StackError, OSError) as error:
        click.echo(f"the load test could not run: {error}", err=True)
        sys.exit(2)
    objective = Objective(p99_ms=p99_ms, max_degraded_share=max_degraded)
    missed = violations(measured, rate, seconds, objective) + _log_faults(stack)
    summary = summarise(measured, delta) if measured else {}
    result |= {
        "rate": rate, "seconds": seconds, "warm_up_seconds": warm_up, "seed": seed, "store": stack.store,
        "cache": use_cache, "service": version, "missed": missed,
    } | summary  # fmt: skip
    results = output / "results.json"
    finish_result(result, results)
    machine = result["machine"]
    click.echo(
        f"\n{len(measured)} calls in {seconds:g} s at {rate:g} a second, "
        f"store: {stack.store}, result cache: {'on' if use_cache else 'off'}\n"
        f"commit {result['commit']}, {machine['cores']} cores of {machine['cpu']}, "
        f"load average before {machine['load_average_before'][0]:.1f}\n"
    )
    if measured:
        click.echo(render(summary))
    click.echo(f"\nresults in {results}")
    for sentence in missed:
        click.echo(f"MISSED  {sentence}")
    if missed:
        sys.exit(1)
    click.echo(f"PASSED  p99 {p99_ms:g} ms at {rate:g} calls a second, at most {max_degraded:.1%} not whole, no errors")


def _version(admin_url: str) -> Any:
    """Return what /version says. /metrics is looked at too: a wrong address must not be found after the run.

    Raises:
        StackError: this is not the admin port of a service.
    """
    try:
        version = json.loads(fetch_text(f"{admin_url}/version"))
        Scrape.parse(fetch_text(f"{admin_url}/metrics"))
    except ValueError as error:
        raise StackError(f"{admin_url} is not the admin port of a service ({error})") from error
    return version


def _locust(stack: Stack, rate: float, seconds: float, environment: dict[str, str], log: Path) -> None:
    """Run locust until it ends, with a progress bar over its run time."""
    users = max(1, round(rate / USER_RATE))
    command = [
        sys.executable, "-m", "locust", "--locustfile", str(ROOT / "loadtest" / "locustfile.py"), "--headless",
        "--host", stack.url, "--users", str(users), "--spawn-rate", str(users), "--run-time", f"{int(seconds) + 1}s",
        "--stop-timeout", "5", "--only-summary", "--exit-code-on-error", "0",
    ]  # fmt: skip
    exact = environment | {"ONEBAR_LOADTEST_USER_RATE": str(rate / users), "PYTHONPATH": str(ROOT)}
    total = int(seconds)
    with log.open("wb") as out, tqdm(total=total, unit="s", desc=f"{rate:g} calls/s", leave=False, disable=None) as bar:
        process = subprocess.Popen(command, env=os.environ | exact, stdout=out, stderr=subprocess.STDOUT)
        try:
            began = time.monotonic()
            while process.poll() is None:
                if time.monotonic() - began > seconds + STARTUP_SECONDS:
                    raise StackError(f"locust did not end in time; see {log}")
                time.sleep(0.5)
                bar.update(min(total, int(time.monotonic() - began)) - bar.n)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise StackError(f"locust ended with status {process.returncode}\n{log.read_text(encoding='utf-8')[-2000:]}")


def _metrics_delta(output: Path) -> Scrape | None:
    before, after = output / "before.prom", output / "after.prom"
    if not (before.exists() and after.exists()):
        return None
    return Scrape.parse(after.read_text(encoding="utf-8")).since(Scrape.parse(before.read_text(encoding="utf-8")))


def _log_faults(stack: Stack) -> list[str]:
    if stack.log is None:
        return []
    tracebacks = stack.log.read_text(encoding="utf-8", errors="replace").count("Traceback (most recent call last)")
    return [f"the service's log has {tracebacks} tracebacks; see {stack.log}"] if tracebacks else []


if __name__ == "__main__":
    main()
