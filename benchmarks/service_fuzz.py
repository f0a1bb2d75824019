"""Does a running service answer anything that a peer may send, and does it stay as it was?

    python -m benchmarks.service_fuzz --output build/service_fuzz.json
    python -m benchmarks.service_fuzz --requests 2000 --seed 7

Starts `onebar serve` on the demo bundle and its evidence, with API keys, and sends random requests over many
connections at once: bodies, headers, targets, chunking, framing, pipelining, slow senders and readers, peers that leave
(`benchmarks/fuzz/sessions.py` has the kinds). Most carry a valid key. Required of each: complete responses that are
no 5xx, except 503 for a connection over the limit, and no close without a response unless the peer left first. All the
time the admin port must answer, memory must stay flat once the caches are full, and the log must have no error. At the
end ordinary requests must get the very answers that they got before. The exit status is 1 where something is not so.

Time limits are shortened to two seconds, so that slow senders do not take all the time, and the result cache to 1 MiB,
so that it is full after the first tenth.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from benchmarks.fuzz.bodies import Bodies
from benchmarks.fuzz.client import Verdict, run_session
from benchmarks.fuzz.sessions import Session, Sessions
from benchmarks.live_service import LAG_METRIC, LARGEST_LAG_METRIC, LiveService, live_service
from loadtest.histograms import Scrape, quantile
from loadtest.machine import begin_result, finish_result
from loadtest.stack import console_command
from loadtest.traffic import evidence_files, read_rows

CONNECTIONS = 48
MAX_CONNECTIONS = 200
CROWD = 300
"""Connections that are opened together after every tenth of the requests, more than the service takes."""

SETTINGS = {
    "CONNECTIONS__HEADERS_SECONDS": "2",
    "CONNECTIONS__BODY_SECONDS": "2",
    "CONNECTIONS__READING_SECONDS": "2",
    "CONNECTIONS__KEEP_ALIVE_SECONDS": "5",
    "CONNECTIONS__MAX_CONNECTIONS": str(MAX_CONNECTIONS),
    "RESULT_CACHE__MAX_BYTES": str(2**20),
}
CACHES_MB = 48
"""The most that memory may grow after the first tenth: vectors and ids of queries are kept in 16 MiB each."""
FLAT = 1.05
"""The most that it may grow in the second half, when they are nearly full."""


@dataclass(slots=True)
class Findings:
    """What the fuzz saw."""

    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    resident_mb: list[tuple[int, float]] = field(default_factory=list)
    health_checks: int = 0
    largest_lag_ms: float = 0.0
    requests: int = 0
    crowds: int = 0

    def add(self, number: int, session: Session, verdict: Verdict) -> None:
        """Count one session."""
        self.kinds[session.kind] += session.requests
        self.requests += session.requests
        self.statuses.update(verdict.statuses)
        self.ends[verdict.end] += 1
        self.faults += [f"session {number} ({session.kind}): {fault}" for fault in verdict.faults]


async def fuzz(service: LiveService, sessions: Sessions, requests: int, first: int = 0) -> Findings:
    """Send sessions until they have `requests` requests, and return what was seen.

    Args:
        service: running.
        sessions: where they come from.
        requests: how many.
        first: the number of the first session.
    """
    findings = Findings()
    numbers = iter(range(first, first + requests))
    watching = asyncio.create_task(_watch(service, findings))
    with tqdm(total=requests, unit="request", disable=None) as progress:

        async def work() -> None:
            for number in numbers:
                if findings.requests >= requests:
                    return
                session = sessions.session(number)
                try:
                    verdict = await run_session(session, "127.0.0.1", service.port)
                except Exception as error:  # the others go on, and the fault is in the result
                    verdict = Verdict([], "client", [repr(error)])
                findings.add(number, session, verdict)
                progress.update(session.requests)
                if findings.requests * 10 // requests > findings.crowds:
                    findings.crowds += 1
                    await _crowd(service, findings)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    return findings


async def _crowd(service: LiveService, findings: Findings) -> None:
    """Open more connections than the service takes; those over the limit must be told so."""
    whole = Session("crowd", ((b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", 0.2),))

    async def one() -> None:
        try:
            verdict = await run_session(whole, "127.0.0.1", service.port)
        except Exception as error:
            verdict = Verdict([], "client", [repr(error)])
        findings.add(-1, whole, verdict)

    await asyncio.gather(*(one() for _ in range(CROWD)))


async def _watch(service: LiveService, findings: Findings) -> None:
    """Ask the admin port for health, and read memory and the lag of the loop, twice a second."""
    while True:
        if not await asyncio.to_thread(service.healthy):
            findings.faults.append(f"/healthz of the admin port did not answer after {findings.requests} requests")
        findings.health_checks += 1
        findings.resident_mb.append((findings.requests, round(service.resident_mb(), 1)))
        if findings.health_checks % 20 == 0:
            scrape = await asyncio.to_thread(service.metrics)
            findings.largest_lag_ms = max(findings.largest_lag_ms, scrape.total(LARGEST_LAG_METRIC) * 1000)
        await asyncio.sleep(0.5)


def ordinary_answers(service: LiveService, photo_ids: list[str], key: str | None) -> list[Any]:
    """Return the answers to ordinary requests, without what differs from one time to the next."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    answers = []
    for photo_id in photo_ids:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        body = {"photo_id": photo_id, "num_queries": 8, "deadline_ms": 10_000}
        connection.request("POST", "/recommend", json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        answer.pop("timings_ms", None), answer.pop("request_id", None)
        answers.append((response.status, answer))
    return answers


def judge(findings: Findings, service: LiveService, requests: int) -> list[str]:
    """Return every fault: of the sessions, of memory, and of the log."""
    faults = list(findings.faults)
    for what, part, factor, more in (("tenth", 10, 1.0, CACHES_MB), ("half", 2, FLAT, 0.0)):
        settled = [mb for sent, mb in findings.resident_mb if sent >= requests // part]
        if settled and max(settled) > settled[0] * factor + more:
            faults.append(f"memory grew from {settled[0]} to {max(settled)} MB after the first {what}")
    if service.process.poll() is not None:
        faults.append(f"the process ended with status {service.process.returncode}")
    bad = [line for line in service.log_lines() if line.get("level") in ("error", "critical", "raw")]
    return faults + [f"log: {json.dumps(line)[:2000]}" for line in bad]


def create_keys(command: Path, work: Path) -> tuple[Path, tuple[str, str]]:
    """Make a key file with a key that may explain and one that may not."""
    path = work / "keys.json"
    keys = []
    for name, *options in (("explains", "--may", "explain"), ("feed",)):
        create = [str(command), "keys", "create", str(path), name, *options]
        keys.append(subprocess.run(create, check=True, capture_output=True, text=True).stdout.split()[-1])
    return path, (keys[0], keys[1])


def summary(findings: Findings, before: Scrape, after: Scrape, requests: int, seconds: float) -> dict[str, Any]:
    """Return the figures of a fuzz."""
    settled = [mb for sent, mb in findings.resident_mb if sent >= requests // 10] or [0.0]
    added = after.since(before)
    causes = {
        labels[0][1]: int(n)
        for (name, labels), n in added.values.items()
        if name == "onebar_connections_closed_total" and n
    }
    lag = added.buckets(LAG_METRIC)
    return {
        "requests": findings.requests,
        "seconds": round(seconds, 1),
        "by_kind": dict(findings.kinds.most_common()),
        "by_status": {str(status): count for status, count in sorted(findings.statuses.items())},
        "connections_ended_by": dict(findings.ends.most_common()),
        "closed_by_a_limit": causes,
        "health_checks": findings.health_checks,
        "resident_mb_after_a_tenth": settled[0],
        "resident_mb_after_half": next((mb for sent, mb in findings.resident_mb if sent >= requests // 2), 0.0),
        "resident_mb_least_and_most_after_that": [min(settled), max(settled)],
        "resident_mb_at_the_end": settled[-1],
        "event_loop_lag_ms": {
            "p50": round(quantile(lag, 0.5) * 1000, 2), "p99": round(quantile(lag, 0.99) * 1000, 2),
            "max": round(findings.largest_lag_ms, 1),
        },
        "resident_mb": findings.resident_mb[:: max(1, len(findings.resident_mb) // 100)],
    }  # fmt: skip


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), default=Path("demo/bundle"))
@click.option("--evidence", type=click.Path(exists=True, path_type=Path), default=Path("demo/evidence"))
@click.option("--requests", type=click.IntRange(min=100), default=100_000)
@click.option("--seed", type=int, default=0, help="Of all that is sent.")
@click.option("--first", type=click.IntRange(min=0), default=0, help="Number of the first session, to repeat one.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep the service's log.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    bundle: Path, evidence: Path, requests: int, seed: int, first: int, log: Path | None, output: Path | None
) -> None:
    """Start the service, fuzz it, and judge; the help text is the module's docstring."""
    result = begin_result("service_fuzz", "uvicorn", "httptools", "pydantic")
    command = Path(console_command())
    photos, users = (
        [row[name] for row in read_rows(path)]
        for name, path in zip(("photo_id", "user_id"), evidence_files(evidence), strict=True)
    )
    with ExitStack() as parts:
        work = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        key_file, keys = create_keys(command, work)
        service = parts.enter_context(
            live_service(command, bundle, evidence, work, "--keys", str(key_file), environment=SETTINGS)
        )
        asked = photos[:: len(photos) // 10]
        expected = ordinary_answers(service, asked, keys[1])
        before, started = service.metrics(), time.perf_counter()
        findings = asyncio.run(fuzz(service, Sessions(Bodies(photos, users), keys, seed), requests, first))
        seconds = time.perf_counter() - started
        faults = judge(findings, service, requests)
        if ordinary_answers(service, asked, keys[1]) != expected:
            faults.append("ordinary requests get other answers than before")
        figures = summary(findings, before, service.metrics(), requests, seconds)
        if log:
            log.write_bytes(service.log.read_bytes())
    finish_result(result | {"seed": seed, "settings": SETTINGS} | figures | {"faults": faults}, output)
    click.echo(json.dumps({name: value for name, value in figures.items() if name != "resident_mb"}, indent=1))
    for fault in faults[:50]:
        click.echo(fault)
    click.echo(f"{len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
