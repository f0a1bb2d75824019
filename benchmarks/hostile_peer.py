"""What can one peer do to a running service with headers, half bodies, idle sockets, and captions that stall?

    python -m benchmarks.hostile_peer --output build/hostile_peer.json
    python -m benchmarks.hostile_peer --command ../before/.venv/bin/onebar --part stall      # another checkout

Each part starts a service of its own. It can be that of another checkout, to compare with a commit of before:

- stall: an innocent client beside a caption of 2,400 nested brackets, and while the process is stopped for 500 ms.
  What the client waited, what `timings_ms.total` says, and what the lag of the event loop says.
- headers: 200 MB of one header on one connection, and the memory of the process.
- bodies: how long 20 half-sent bodies live, and how long the process takes to end beside 20 others.
- sockets: 300 idle connections to a process that may have 256 descriptors, and whether health is answered.
- cache: 10,000 distinct requests with queries of 256 characters, and the memory of the process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import select
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from benchmarks.live_service import LARGEST_LAG_METRIC, LiveService, live_service
from loadtest.machine import begin_result, finish_result
from loadtest.stack import console_command

HEAD = b"POST /recommend HTTP/1.1\r\nhost: onebar\r\ncontent-type: application/json\r\n"
HEADER_MB = 200
HALF_BODIES = 20
BRACKETS = 2400
PATIENCE_SECONDS = 90.0
STOPPED_SECONDS = 0.5
SOCKETS, DESCRIPTORS = 300, 256
DISTINCT_REQUESTS = 10_000
RARE_CHARACTERS = range(0x4E00, 0x9FA5)
ASKING_THREADS = 4

Start = Callable[..., contextlib.AbstractContextManager[LiveService]]


def ask(connection: http.client.HTTPConnection, body: dict[str, Any]) -> tuple[float, float]:
    """POST a body; return the milliseconds that the client waited, and those that the answer tells."""
    began = time.perf_counter()
    connection.request("POST", "/recommend", json.dumps(body), {"content-type": "application/json"})
    document = json.loads(connection.getresponse().read())
    return (time.perf_counter() - began) * 1000, document["timings_ms"]["total"]


def connect(service: LiveService) -> socket.socket:
    """Return a connection to the public port."""
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)


def stall(start: Start) -> dict[str, Any]:
    """An innocent client while the event loop is held up: by a caption, and by stopping the process."""
    innocent = {"photo_id": "p000060", "num_queries": 8, "deadline_ms": 10_000}
    caption = "([" * (BRACKETS // 4) + "])" * (BRACKETS // 4)
    brackets = json.dumps({"photo_id": "b", "evidence": {"caption": caption}, "deadline_ms": 10_000}).encode()
    found: dict[str, Any] = {}
    with start() as service:
        client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        ask(client, innocent)
        quiet = [ask(client, innocent) for _ in range(20)]
        found["quiet"] = {"client_ms": _median(quiet, 0), "total_ms": _median(quiet, 1)}
        with connect(service) as hostile:
            hostile.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(brackets) + brackets)
            time.sleep(0.05)
            waited, told = ask(client, innocent)
        found["beside a caption of brackets"] = {"client_ms": round(waited, 1), "total_ms": told}
        for name, one in (("on an open connection", client), ("on a new connection", None)):
            os.kill(service.process.pid, signal.SIGSTOP)
            resume = threading.Timer(STOPPED_SECONDS, os.kill, (service.process.pid, signal.SIGCONT))
            resume.start()
            waited, told = ask(one or http.client.HTTPConnection("127.0.0.1", service.port, timeout=60), innocent)
            resume.join()
            found[f"process stopped for 500 ms, {name}"] = {"client_ms": round(waited, 1), "total_ms": told}
        time.sleep(0.1)
        found["largest_lag_that_the_metric_has_seen_ms"] = round(service.metrics().total(LARGEST_LAG_METRIC) * 1000, 1)
    return found


def headers(start: Start) -> dict[str, Any]:
    """One connection that sends one header of 200 MB."""
    with start() as service:
        before = most = service.resident_mb()
        sent = 0
        with connect(service) as peer, contextlib.suppress(OSError):
            peer.sendall(HEAD + b"x: ")
            for _ in range(HEADER_MB * 16):
                peer.sendall(b"a" * 65536)
                sent += 65536
                most = max(most, service.resident_mb())
        time.sleep(0.5)
        return {
            "sent_mb": round(sent / 2**20, 1),
            "resident_mb": {"before": round(before, 1), "most": round(max(most, service.resident_mb()), 1)},
        }


def bodies(start: Start) -> dict[str, Any]:
    """Half-sent bodies: how long they live, and how long they hold up the end of the process."""
    half = HEAD + b"content-length: 100\r\n\r\n{"
    with start(DRAIN_SECONDS="0") as service, ExitStack() as held:
        peers = [held.enter_context(connect(service)) for _ in range(HALF_BODIES)]
        for peer in peers:
            peer.sendall(half)
        lives = _lives(peers)
        for _ in range(HALF_BODIES):
            held.enter_context(connect(service)).sendall(half)
        time.sleep(0.5)
        began = time.perf_counter()
        service.process.terminate()
        status = service.process.wait(PATIENCE_SECONDS)
        ended = time.perf_counter() - began
    return {
        "half_bodies": HALF_BODIES,
        "closed_by_the_server": len(lives),
        "longest_life_seconds": round(max(lives), 1) if len(lives) == HALF_BODIES else f"over {PATIENCE_SECONDS:g}",
        "end_after_sigterm_seconds": round(ended, 1),
        "exit_status": status,
    }


def _lives(peers: list[socket.socket]) -> list[float]:
    """Return after how many seconds the server closed each connection, of those that it did close."""
    began, open_peers, lives = time.perf_counter(), list(peers), []
    while open_peers and (left := began + PATIENCE_SECONDS - time.perf_counter()) > 0:
        for peer in select.select(open_peers, [], [], left)[0]:
            try:
                closed = not peer.recv(65536)
            except OSError:
                closed = True
            if closed:
                open_peers.remove(peer)
                lives.append(time.perf_counter() - began)
    return lives


def sockets(start: Start) -> dict[str, Any]:
    """More idle connections than the process has descriptors."""
    prlimit = shutil.which("prlimit")
    assert prlimit, "install util-linux"
    with start(prefix=(prlimit, f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")) as service, ExitStack() as held:
        for _ in range(SOCKETS):
            held.enter_context(connect(service))
        time.sleep(0.5)
        return {"sockets": SOCKETS, "descriptors": DESCRIPTORS, "health_answers": service.healthy(3.0)}


def cache(start: Start) -> dict[str, Any]:
    """Distinct requests of queries that are as long as they may be, for all that remembers something of them."""
    with start() as service:
        before = service.resident_mb()
        numbers = iter(range(DISTINCT_REQUESTS))
        seen: list[float] = []

        def work() -> None:
            client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
            for number in numbers:
                draw = random.Random(number)
                queries = ["".join(map(chr, draw.choices(RARE_CHARACTERS, k=256))) for _ in range(6)]
                ask(client, {
                    "photo_id": f"c{number}", "deadline_ms": 10_000, "recent_queries": queries[2:],
                    "evidence": {"caption": f"shoes {number}", "anchors": queries[:1], "histories": queries[1:2]},
                })  # fmt: skip
                if number % 1000 == 999:
                    seen.append(round(service.resident_mb(), 1))

        threads = [threading.Thread(target=work) for _ in range(ASKING_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"requests": DISTINCT_REQUESTS, "resident_mb": {"before": round(before, 1), "every_1000": seen}}


def _median(pairs: list[tuple[float, float]], place: int) -> float:
    return round(statistics.median(pair[place] for pair in pairs), 1)


PARTS = {part.__name__: part for part in (stall, headers, bodies, sockets, cache)}


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option(
    "--command", type=click.Path(exists=True, path_type=Path), help="`onebar`; by default this environment's."
)
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), default=Path("demo/bundle"))
@click.option("--evidence", type=click.Path(exists=True, path_type=Path), default=Path("demo/evidence"))
@click.option("--part", "wanted", type=click.Choice(tuple(PARTS)), multiple=True, help="By default all.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(command: Path | None, bundle: Path, evidence: Path, wanted: tuple[str, ...], output: Path | None) -> None:
    """Run the parts and print what was found; the help text is the module's docstring."""
    result = begin_result("hostile_peer", "uvicorn", "httptools")

    @contextmanager
    def start(prefix: tuple[str, ...] = (), **environment: str) -> Iterator[LiveService]:
        with tempfile.TemporaryDirectory() as work, live_service(
            command or Path(console_command()), bundle, evidence, Path(work), prefix=prefix, environment=environment
        ) as service:  # fmt: skip
            yield service

    found = {}
    for name in wanted or PARTS:
        found[name] = PARTS[name](start)
        tqdm.write(f"{name}: {json.dumps(found[name])}", file=sys.stdout)
    finish_result(result | {"parts": found}, output)


if __name__ == "__main__":
    main()
