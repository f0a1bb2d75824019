"""What does HTTP cost on top of a generation, how fast is a refusal, and what becomes of a feed page of 16?

    python -m benchmarks.http_overhead --output build/http_overhead.json
    python -m benchmarks.http_overhead --bundle bundles/latest --evidence var/evidence

Starts Redis and `onebar serve` as their users do, with the result cache off. The evidence is loaded with its vectors,
as production has it (the demo's is shipped without, for its size; `--no-vectors` takes it so). Three parts:
- overhead: one client, one request at a time over stored videos and known viewers. The client's p50, less the p50 of
  encoding and decoding as the answers tell them, is all the rest: sockets, parsing, the feature store, rendering, the
  hop to the engine's thread and back, policy, the answer.
- refusals: more clients than the machine can serve, which wait for as long as a 429 asks them to, or do not. The time
  of a 429 is given as the client saw it, which includes its own queue, and as the service says in Server-Timing.
- pages: batches of 16 in one call, for several deadlines.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import uvloop
from tqdm import tqdm

from evidence.embedding import EMBEDDING_VERSION, embed, trigger_text
from feature_store.rows import vector_bytes
from loadtest.machine import begin_result, finish_result
from loadtest.samples import percentile
from loadtest.stack import fetch, running_stack
from loadtest.traffic import WARM, Traffic, evidence_files, open_traffic, prohibited_terms_file, read_rows

PATIENT_MS = 1000.0
PAGE = 16
PAGE_DEADLINES_MS = (25.0, 50.0, 100.0, 250.0)


def random_bundle(folder: Path) -> Path:
    """Export a random BART of the shipped demo's size in int8; torch is needed for this alone."""
    from benchmarks.random_model import SIZES, build_sized_checkpoint
    from model_export.checkpoint import load_checkpoint
    from model_export.export import export_bundle

    checkpoint = build_sized_checkpoint(folder / "checkpoint", SIZES["w256"])
    return export_bundle(load_checkpoint(checkpoint), folder / "bundle", "int8").path


def with_vectors(evidence: Path, folder: Path) -> Path:
    """Write a copy of a folder of evidence in which photos and past queries have their vectors."""
    folder.mkdir()
    for path in evidence_files(evidence):
        with gzip.open(folder / f"{path.name.split('.')[0]}.jsonl.gz", "wt", encoding="utf-8") as out:
            for row in read_rows(path):
                # Whose text is not cleaned here as the loader's makers do: near enough to be as costly to read.
                name, texts = (
                    ("embeddings", row["queries"])
                    if "user_id" in row
                    else ("embedding", [trigger_text(row.get("caption") or "", row.get("summary") or "")])
                )
                if texts:
                    vectors = embed(texts) if name == "embeddings" else embed(texts)[0]
                    row[name] = base64.b64encode(vector_bytes(vectors)).decode()
                    row["embedding_version"] = EMBEDDING_VERSION
                out.write(json.dumps(row) + "\n")
    if terms := prohibited_terms_file(evidence):
        (folder / terms.name).write_bytes(terms.read_bytes())
    return folder


def distribution(values: Sequence[float]) -> dict[str, float]:
    """Percentiles of some milliseconds."""
    if not values:
        return {"count": 0}
    figures = {f"p{percent:g}": round(percentile(values, percent), 3) for percent in (50.0, 90.0, 99.0)}
    return {"count": len(values)} | figures | {"max": round(max(values), 3)}


def http_bytes(path: str, body: dict[str, Any]) -> bytes:
    """A whole request."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: onebar\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return f"{head}\r\n\r\n".encode() + content


def stored(traffic: Traffic, **fields: Any) -> dict[str, Any]:
    """The body of one request for a stored video of a known viewer."""
    return {**traffic.call(WARM).body, **fields}


class Wire:
    """One kept-alive connection that blocks, so that nothing but the service is in its figures."""

    def __init__(self, url: str) -> None:
        """Connect to the service at `url`."""
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def post(self, request: bytes) -> tuple[float, dict[str, Any]]:
        """Send a request; the milliseconds from the first byte out to the last one in, and the body of its answer."""
        started = time.perf_counter()
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(65536)
        head, _, content = received.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(content) < length:
            content += self._socket.recv(65536)
        elapsed = (time.perf_counter() - started) * 1000
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the service said {head.splitlines()[0]!r}: {content!r}")
        return elapsed, json.loads(content)


def measure_overhead(url: str, traffic: Traffic, requests: int, warm_up: int) -> dict[str, Any]:
    """One request at a time."""
    client: list[float] = []
    generation: list[float] = []
    stages: dict[str, list[float]] = {}
    decisions: Counter[str] = Counter()
    with Wire(url) as wire:
        first, _ = wire.post(http_bytes("/recommend", stored(traffic, deadline_ms=PATIENT_MS)))
        for number in tqdm(range(warm_up + requests), desc="overhead", leave=False):
            elapsed, answer = wire.post(http_bytes("/recommend", stored(traffic, deadline_ms=PATIENT_MS)))
            timings = answer["timings_ms"]
            if number < warm_up or not timings["decode"]:
                continue
            decisions[answer["decision"]] += 1
            client.append(elapsed)
            generation.append(timings["encode"] + timings["decode"])
            for stage, duration in timings.items():
                stages.setdefault(stage, []).append(duration)
    seen, made = percentile(client, 50.0), percentile(generation, 50.0)
    return {
        "first_request_ms": round(first, 3),
        "client_ms": distribution(client),
        "generation_ms": distribution(generation),
        "client_p50_less_generation_p50_ms": round(seen - made, 3),
        "client_less_generation_ms": distribution([c - g for c, g in zip(client, generation, strict=True)]),
        "stages_ms": {stage: distribution(values) for stage, values in stages.items()},
        "decisions": dict(decisions),
    }


class Flood:
    """Clients that send one request after another until they are stopped, and the statuses of the answers."""

    def __init__(self, url: str, traffic: Traffic, obedient: bool) -> None:
        """Prepare the clients; none is started.

        Args:
            url: of the service.
            traffic: where the requests come from.
            obedient: whether a client waits as long as a refusal tells it to.
        """
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._traffic = traffic
        self._obedient = obedient
        self.statuses: Counter[int] = Counter()
        self.refused: list[float] = []
        self.refused_in_service: list[float] = []
        self.answered: list[float] = []
        self.degraded: Counter[str] = Counter()

    async def run(self, clients: int, seconds: float) -> dict[str, Any]:
        """Let them ask for so long."""
        until = time.perf_counter() + seconds
        await asyncio.gather(*(self._client(until) for _ in range(clients)))
        return {
            "clients": clients,
            "seconds": seconds,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "refused_per_second": round(len(self.refused) / seconds, 1),
            "answered_per_second": round(len(self.answered) / seconds, 1),
            "degraded": dict(self.degraded),
            "refusal_at_client_ms": distribution(self.refused),
            "refusal_in_service_ms": distribution(self.refused_in_service),
            "answer_at_client_ms": distribution(self.answered),
        }

    async def _client(self, until: float) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        while (started := time.perf_counter()) < until:
            writer.write(http_bytes("/recommend", stored(self._traffic)))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            headers = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
            content = await reader.readexactly(int(headers["content-length"]))
            elapsed = (time.perf_counter() - started) * 1000
            status = int(head.split(" ", 2)[1])
            self.statuses[status] += 1
            body = json.loads(content)
            if status == 429:
                self.refused.append(elapsed)
                self.refused_in_service.append(float(headers["server-timing"].rpartition("=")[2]))
                if self._obedient:
                    await asyncio.sleep(body["retry_after_ms"] / 1000)
            elif status == 200:
                self.answered.append(elapsed)
                self.degraded.update(body["degraded"])
        writer.close()


def measure_pages(url: str, traffic: Traffic, pages: int) -> dict[str, Any]:
    """Batches of 16, one call at a time."""
    figures = {}
    with Wire(url) as wire:
        for deadline_ms in PAGE_DEADLINES_MS:
            elapsed, statuses = [], Counter[int]()
            whole = 0
            degraded: Counter[str] = Counter()
            for _ in tqdm(range(pages), desc=f"pages of {PAGE}, {deadline_ms:g} ms", leave=False):
                page = [stored(traffic, deadline_ms=deadline_ms) for _ in range(PAGE)]
                took, answer = wire.post(http_bytes("/recommend/batch", {"requests": page}))
                elapsed.append(took)
                statuses.update(result["status"] for result in answer["results"])
                answers = [result["response"] for result in answer["results"] if result["status"] == 200]
                whole += sum(not response["degraded"] for response in answers)
                degraded.update(cause for response in answers for cause in response["degraded"])
            figures[f"deadline {deadline_ms:g} ms"] = {
                "client_ms": distribution(elapsed),
                "statuses": {str(status): count for status, count in sorted(statuses.items())},
                "whole_answers": f"{whole / (pages * PAGE):.1%}",
                "degraded": dict(degraded),
            }
    return figures


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--bundle", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="By default the demo's; where that is not there, a random one of its size.")  # fmt: skip
@click.option(
    "--evidence", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path("demo/evidence")
)
@click.option("--vectors/--no-vectors", default=True, help="Whether the store has the vectors of past queries.")
@click.option("--requests", type=click.IntRange(min=10), default=500)
@click.option("--warm-up", type=click.IntRange(min=0), default=50)
@click.option("--flood-clients", type=click.IntRange(min=1), default=32)
@click.option("--flood-seconds", type=click.FloatRange(min=1), default=8.0)
@click.option("--pages", type=click.IntRange(min=1), default=20)
@click.option("--seed", type=int, default=0, help="Of the traffic.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    bundle: Path | None, evidence: Path, vectors: bool, requests: int, warm_up: int, flood_clients: int,
    flood_seconds: float, pages: int, seed: int, output: Path | None,
) -> None:  # fmt: skip
    """Start the service and measure it."""
    result = begin_result("http_overhead", "onnxruntime", "redis")
    os.environ["ONEBAR_RESULT_CACHE__MAX_BYTES"] = "0"
    demo = Path("demo/bundle")
    with tempfile.TemporaryDirectory() as scratch:
        bundle = bundle or (demo if (demo / "manifest.json").exists() else random_bundle(Path(scratch)))
        evidence = with_vectors(evidence, Path(scratch) / "evidence") if vectors else evidence
        work = Path(scratch) / "work"
        work.mkdir()
        with running_stack(bundle, evidence, work) as stack:
            traffic = open_traffic(evidence, seed)
            result |= {
                "service": json.loads(fetch(f"{stack.admin_url}/version")[1]),
                "store": stack.store,
                "stored_vectors": vectors,
                "result_cache": "off",
                "requests": requests,
                "warm_up_requests": warm_up,
                "overhead": measure_overhead(stack.url, traffic, requests, warm_up),
                "pages_of_16": measure_pages(stack.url, traffic, pages),
                "refusals": {
                    name: uvloop.run(Flood(stack.url, traffic, obedient).run(flood_clients, flood_seconds))
                    for name, obedient in (("clients that wait as asked", True), ("clients that do not wait", False))
                },
            }
    click.echo(finish_result(result, output))


if __name__ == "__main__":
    sys.exit(main())
