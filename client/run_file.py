"""Sends every row of a file as one request, with a progress bar and a summary."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from client.connection import ClientError, Connection, Reply
from client.rows import Rows

MAX_ATTEMPTS = 50
"""How often one row is sent if the reply is 429 or the connection breaks; after that, the last reply counts."""

_PERCENTILES = (50, 90, 95, 99)


@dataclass(slots=True)
class Report:
    """The summary of a file: counts of replies by status, decision and fault, and latencies in seconds."""

    rows: int
    corrected: Counter[str]
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    waits: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every row got an answer."""
        return self.statuses.get(200, 0) == self.rows

    def add(self, reply: Reply) -> None:
        """Count one final reply."""
        self.statuses[reply.status] += 1
        if reply.status != 200:
            fields = ", ".join(fault["field"] for fault in reply.body.get("errors", [])[:3])
            self.faults[f"{reply.status} {reply.body.get('error', '')} {fields}".strip()] += 1
            return
        self.latencies.append(reply.seconds)
        reason = reply.body["reason"]
        self.decisions[reply.body["decision"] + (f" / {reason}" if reason else "")] += 1
        self.degraded.update(reply.body["degraded"])

    def text(self) -> str:
        """Return the summary as text."""
        lines = [f"{self.rows} rows in {self.seconds:.1f} s ({self.rows / max(self.seconds, 1e-9):.0f} a second)"]
        lines += _table("status", self.statuses, self.rows)
        lines += _table("decision", self.decisions, self.rows)
        lines += _table("degraded", self.degraded, self.rows)
        lines += _table("refused", self.faults, self.rows)
        lines += _table("input corrected", self.corrected, None)
        if self.waits:
            lines.append(f"{'waited after 429':<18}{self.waits} times")
        if self.latencies:
            ordered = sorted(self.latencies)
            figures = (f"p{p} {ordered[math.ceil(p / 100 * len(ordered)) - 1] * 1000:.1f}" for p in _PERCENTILES)
            lines.append(f"{'latency, ms':<18}{'  '.join(figures)}  max {ordered[-1] * 1000:.1f}")
        return "\n".join(lines)


def run_file(
    url: str,
    rows: Rows,
    concurrency: int,
    common: Mapping[str, Any],
    output: Path | None = None,
    key: str | None = None,
) -> Report:
    """Send every row. After 429, a row is sent again when the service asks for it.

    Args:
        url: of the service.
        rows: what to send.
        concurrency: connections, each with one request at a time.
        common: fields that every request gets; a field that is None is left out.
        output: file for ``{"request": …, "status": …, "response": …}`` lines, in the order of the replies.
        key: the API key; None if the service needs none.

    Returns:
        The summary.

    Raises:
        ClientError: the service does not answer the first row.
    """
    given = {key: value for key, value in common.items() if value is not None}
    report = Report(len(rows.bodies), rows.corrected)
    with Connection(url, key) as connection:
        connection.post(rows.bodies[0] | given)  # a wrong URL fails here, before any row
    lock = threading.Lock()
    pending = iter(rows.bodies)
    started = time.perf_counter()
    sink = output.open("w", encoding="utf-8") if output else None
    try:
        with tqdm(total=report.rows, unit="row", desc="recommend") as bar, ThreadPoolExecutor(concurrency) as pool:

            def work() -> None:
                with Connection(url, key) as connection:
                    for body in _take(pending, lock):
                        reply, waits = _send(connection, body | given)
                        with lock:
                            report.waits += waits
                            report.add(reply)
                            bar.update()
                            if sink:
                                line = {"request": body, "status": reply.status, "response": reply.body}
                                sink.write(json.dumps(line, ensure_ascii=False) + "\n")

            for done in [pool.submit(work) for _ in range(concurrency)]:
                done.result()
    finally:
        if sink:
            sink.close()
    report.seconds = time.perf_counter() - started
    return report


def _take(pending: Iterator[dict[str, Any]], lock: threading.Lock) -> Iterator[dict[str, Any]]:
    while True:
        with lock:
            body = next(pending, None)
        if body is None:
            return
        yield body


def _send(connection: Connection, body: Mapping[str, Any]) -> tuple[Reply, int]:
    """Send one row until the reply is not 429 and not lost. Return the last reply and the number of repetitions."""
    reply = Reply(0, {"error": "no answer"}, 0.0)
    for attempt in range(MAX_ATTEMPTS):
        try:
            reply = connection.post(body)
        except ClientError as error:
            reply = Reply(0, {"error": str(error)}, 0.0)
            time.sleep(min(1.0, 0.01 * 2**attempt))
            continue
        if reply.status != 429:
            return reply, attempt
        time.sleep(max(0.005, reply.body.get("retry_after_ms", 1000) / 1000))
    return reply, MAX_ATTEMPTS


def _table(title: str, counts: Mapping[Any, int], total: int | None) -> Sequence[str]:
    lines = []
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        share = f"  {100 * count / total:.1f} %" if total else ""
        lines.append(f"{title:<18}{name!s:<44}{count:>8}{share}")
        title = ""
    return lines
