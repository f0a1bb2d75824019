r"""Find the rate at which the objective breaks: Poisson arrivals at one rate after another.

\b
    python -m loadtest.open_loop                                       # the shipped demo, 10 to 120 calls a second
    python -m loadtest.open_loop --url http://127.0.0.1:8000 --rates 20,40,80 --seconds 10

Arrivals do not wait for answers. The times are those of calls with status 200, counted from when each was due. So they
include the time spent waiting for a connection or for this program (coordinated omission would leave it out). A call
without an answer after five seconds has failed. The knee is the highest rate up to which every rate met the objective.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import click
from tqdm import tqdm

from loadtest.checks import NO_TERMS, TermList
from loadtest.gate import Objective, violations
from loadtest.machine import commit, describe_machine
from loadtest.processes import StackError
from loadtest.samples import Sample, judge_call, percentile, waits_ms
from loadtest.stack import address_of, key_header, running_stack
from loadtest.traffic import Call, Mix, open_traffic, prohibited_terms_file

DEFAULTS = Objective()
WARM_UP_CALLS = 50
TIMEOUT_SECONDS = 5.0


@dataclass(slots=True)
class Client:
    """A small HTTP/1.1 client over kept-alive connections; its own CPU time is small beside that of the service.

    Attributes:
        host: of the service.
        port: of the service.
        key: the API key; None where the service needs none.
        prefix: what comes before the path of each call, such as that of a proxy.
        timeout_seconds: the longest time for one call.
    """

    host: str
    port: int
    key: str | None = None
    prefix: str = ""
    timeout_seconds: float = TIMEOUT_SECONDS
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """POST JSON and return the status and the body.

        Raises:
            OSError: there is no connection, no answer in time, or no whole answer with a Content-Length.
        """
        key = "".join(f"{name}: {value}\r\n" for name, value in key_header(self.key).items())
        head = (
            f"POST {self.prefix}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Content-Type: application/json\r\n{key}Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode("ascii") + body
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await self._exchange(request)
        except TimeoutError as error:
            raise TimeoutError(f"there was no answer within {self.timeout_seconds:g} s") from error
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the connection ended before the answer did") from error
        except (asyncio.LimitOverrunError, KeyError, IndexError, ValueError) as error:
            raise ConnectionError("there was no HTTP answer with a Content-Length") from error

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        reader, writer = self._kept() or await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request)
            status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            status = int(status_line.split(" ", 2)[1])
            content = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return status, content

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return a kept connection that the server has not closed meanwhile; None if there is none."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def aclose(self) -> None:
        """Close every connection."""
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()
        self._idle.clear()


class Sender(Protocol):
    """What sends calls, such as a `Client`."""

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """POST JSON and return the status and the body; raise as `Client.post`."""


class Calls(Protocol):
    """An endless supply of calls, such as `Traffic`."""

    def next_call(self) -> Call:
        """Return the next call."""


async def run_rate(
    client: Sender, traffic: Calls, rate: float, seconds: float, seed: int, prohibited: TermList = NO_TERMS
) -> list[Sample]:
    """Send Poisson arrivals of one rate for some seconds and return the samples."""
    arrivals = random.Random(seed)
    clock = asyncio.get_running_loop().time
    began = clock()
    samples: list[Sample] = []
    due = began + arrivals.expovariate(rate)
    async with asyncio.TaskGroup() as calls:
        while due < began + seconds:
            call = traffic.next_call()
            body = json.dumps(call.body).encode()
            await asyncio.sleep(max(0.0, due - clock()))
            calls.create_task(_one(client, call, body, due, began, samples, prohibited))
            due += arrivals.expovariate(rate)
    return samples


async def _one(
    client: Sender, call: Call, body: bytes, due: float, began: float, samples: list[Sample], prohibited: TermList
) -> None:
    clock = asyncio.get_running_loop().time
    left = clock()
    try:
        status, content = await client.post(call.path, body)
    except OSError as error:
        status, content = 0, str(error).encode()
    latency_ms = (clock() - left) * 1000
    faults, outcomes = judge_call(call, status, content, prohibited)
    samples.append(
        Sample(call.scenario, due - began, (left - due) * 1000, latency_ms, status, tuple(faults), tuple(outcomes))
    )


def find_knee(passed: dict[float, bool]) -> float | None:
    """Return the highest rate up to which every rate passed; None where the lowest missed."""
    knee = None
    for rate in sorted(passed):
        if not passed[rate]:
            break
        knee = rate
    return knee


async def _measure(
    url: str, key: str | None, evidence: Path, rates: list[float], seconds: float, seed: int, objective: Objective
) -> dict[float, bool]:
    host, port, prefix = address_of(url)
    # Without feed pages: a call of several requests would make the meaning of a rate unclear.
    traffic = open_traffic(evidence, seed, Mix(batch=0))
    prohibited = TermList.read(prohibited_terms_file(evidence))
    passed: dict[float, bool] = {}
    async with aclosing(Client(host, port, key, prefix)) as client:
        for _ in range(WARM_UP_CALLS):
            warm = traffic.next_call()
            await client.post(warm.path, json.dumps(warm.body).encode())
        _row("rate/s sent/s p50_ms p90 p95 p99 max 429 degraded shown wrong goal".split())
        for rate in tqdm(rates, unit="rate", leave=False, disable=None):
            samples = await run_rate(client, traffic, rate, seconds, seed, prohibited)
            missed = violations(samples, rate, seconds, objective) if samples else ["nothing was sent"]
            passed[rate] = not missed
            _row(_cells(samples, rate, seconds, missed))
    return passed


def _cells(samples: list[Sample], rate: float, seconds: float, missed: list[str]) -> list[str]:
    latencies = waits_ms(samples) or [math.nan]  # no answer is not an answer after 0 ms
    outcomes = [outcome for sample in samples for outcome in sample.outcomes]
    answers = max(1, len(outcomes))
    return [
        f"{rate:g}", f"{len(samples) / seconds:.1f}",
        *(f"{percentile(latencies, percent):.1f}" for percent in (50, 90, 95, 99)), f"{max(latencies):.1f}",
        f"{sum(sample.refused for sample in samples) / max(1, len(samples)):.1%}",
        f"{sum(bool(outcome.degraded) for outcome in outcomes) / answers:.1%}",
        f"{sum(outcome.decision == 'recommend' for outcome in outcomes) / answers:.1%}",
        str(sum(bool(sample.faults) for sample in samples)), "missed" if missed else "met",
    ]  # fmt: skip


def _row(cells: list[str]) -> None:
    tqdm.write("".join(f"{cell:>9}" for cell in cells), file=sys.stdout)


def _rates(_context: click.Context, _option: click.Parameter, text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate < math.inf for rate in rates):
        raise click.BadParameter(f"{text!r} are no calls per second such as 10,20,40.")
    return rates


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--rates", default="10,20,40,60,80,100,120", callback=_rates, help="Calls per second, one after another.")
@click.option("--seconds", type=click.FloatRange(min=1), default=15.0, help="Time at each rate.")
@click.option("--p99-ms", type=float, default=DEFAULTS.p99_ms, help="The most that p99 may be.")
@click.option("--url", help="A running service, instead of starting one.")
@click.option("--key", envvar="ONEBAR_KEY", help="The API key; better given in the environment, as ONEBAR_KEY.")
@click.option("--bundle", type=click.Path(path_type=Path), default=Path("demo/bundle"))
@click.option("--evidence", type=click.Path(path_type=Path), default=Path("demo/evidence"))
@click.option("--redis/--embedded", "use_redis", default=True, help="The store; Redis only where it is installed.")
@click.option("--seed", type=int, default=0, help="Of the traffic and the arrivals.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("var/open_loop"), help="Folder of logs.")
def main(
    rates: list[float], seconds: float, p99_ms: float, url: str | None, key: str | None, bundle: Path, evidence: Path,
    use_redis: bool, seed: int, output: Path,
) -> None:  # fmt: skip
    """Measure one rate after another and print the knee; the help text is the module's docstring."""
    output.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    try:
        with ExitStack() as parts:
            if url is None:
                url = parts.enter_context(running_stack(bundle, evidence, output, use_redis)).url
            passed = asyncio.run(_measure(url, key, evidence, rates, seconds, seed, Objective(p99_ms=p99_ms)))
    except (StackError, OSError) as error:
        click.echo(f"the check could not run: {error}", err=True)
        sys.exit(2)
    knee = find_knee(passed)
    click.echo(f"\ncommit {commit()}, {machine['cores']} cores of {machine['cpu']}")
    click.echo(
        f"the objective holds up to {knee:g} calls a second" if knee else "the objective holds at none of the rates"
    )


if __name__ == "__main__":
    main()
