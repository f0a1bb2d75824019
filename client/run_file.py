"""Sends every row of a file as one request, with a progress bar and a summary."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from client.connection import ClientError, Connection, Reply
from client.rows import Rows

MAX_ATTEMPTS = 50
"""How often one row is sent if the reply is 429; after that, the last reply counts."""

LOST_WAITS_SECONDS = (0.05, 0.2, 0.8, 3.2)
"""The waits before a row without an answer is sent again: long enough together for a restart of the service."""

MAX_LOST_ROWS = 3
"""The run ends after so many rows in succession without an answer, times the number of connections."""

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
    losses: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every row got an answer."""
        return self.statuses.get(200, 0) == self.rows

    def add(self, reply: Reply) -> None:
        """Count one final reply."""
        self.statuses[reply.status] += 1
        if reply.status != 200:
            self.faults[f"{reply.status} {reply.body.get('error', '')} {_fields(reply.body)}".strip()] += 1
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
        if self.losses:
            lines.append(f"{'without an answer':<18}{self.losses} times, sent again")
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
    """Send every row once. A row is sent again after 429, when the service asks for it, or if no answer came.

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
        ClientError: the service does not answer the first row, or `MAX_LOST_ROWS` in succession for each connection.
    """
    given = {key: value for key, value in common.items() if value is not None}
    report = Report(len(rows.bodies), rows.corrected)
    started = time.perf_counter()
    with Connection(url, key) as connection:
        first = connection.post(rows.bodies[0] | given)  # a wrong URL fails here, before the output is opened
    with ExitStack() as parts:
        sink = parts.enter_context(output.open("w", encoding="utf-8")) if output else None
        bar = parts.enter_context(tqdm(total=report.rows, unit="row", desc="recommend"))
        run = _Run(iter(rows.bodies), given, report, bar, sink, MAX_LOST_ROWS * concurrency)
        if first.status != 429:
            run.record(next(run.pending), first)
        run.send_all([Connection(url, key) for _ in range(concurrency)])
    report.seconds = time.perf_counter() - started
    return report


@dataclass(slots=True)
class _Run:
    """What the threads of the connections share.

    Attributes:
        pending: rows that no connection has taken.
        given: fields that every request gets.
        report: counts the replies.
        bar: shows the progress.
        sink: takes the replies as JSON lines; None to write none.
        max_lost: the run ends after so many rows in succession without an answer.
        lost: rows in succession without an answer, now.
        stopped: set when no further row is to be sent.
        lock: for everything but `stopped`.
    """

    pending: Iterator[dict[str, Any]]
    given: dict[str, Any]
    report: Report
    bar: tqdm[Any]
    sink: TextIO | None
    max_lost: int
    lost: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send_all(self, connections: Sequence[Connection]) -> None:
        """Send all pending rows, each connection in its own thread. The first error stops all of them."""
        with ThreadPoolExecutor(len(connections)) as pool:
            try:
                for done in as_completed([pool.submit(self._work, connection) for connection in connections]):
                    done.result()
            except BaseException:  # Ctrl-C too: the pool waits for its threads before the error leaves it
                self.stopped.set()
                for connection in connections:
                    connection.abort()
                raise

    def record(self, body: Mapping[str, Any], reply: Reply) -> None:
        """Count and write the final reply to a row.

        Raises:
            ClientError: too many rows in succession had no answer.
        """
        with self.lock:
            self.report.add(reply)
            self.bar.update()
            if self.sink:
                line = {"request": body, "status": reply.status, "response": reply.body}
                self.sink.write(json.dumps(line, ensure_ascii=False) + "\n")
            self.lost = 0 if reply.status else self.lost + 1
            if self.lost >= self.max_lost:
                sent = self.report.statuses.total()
                raise ClientError(f"Stopped after {sent} of {self.report.rows} rows: {reply.body['error']}")

    def _work(self, connection: Connection) -> None:
        with connection:
            while (body := self._take()) is not None:
                reply = self._send(connection, body | self.given)
                if self.stopped.is_set():
                    return
                self.record(body, reply)

    def _take(self) -> dict[str, Any] | None:
        with self.lock:
            return None if self.stopped.is_set() else next(self.pending, None)

    def _send(self, connection: Connection, body: Mapping[str, Any]) -> Reply:
        """Send one row until the reply is not 429 and not lost, or the attempts are used up. Return the last reply."""
        lost_waits = iter(LOST_WAITS_SECONDS)
        reply = Reply(0, {}, 0.0)
        for _ in range(MAX_ATTEMPTS):
            try:
                reply = connection.post(body)
            except ClientError as error:
                reply = Reply(0, {"error": str(error)}, 0.0)
                wait = next(lost_waits, None)
                if wait is None:
                    return reply
            else:
                if reply.status != 429:
                    return reply
                wait = max(0.005, reply.body.get("retry_after_ms", 1000) / 1000)
            with self.lock:
                self.report.waits += reply.status == 429
                self.report.losses += reply.status == 0
            if self.stopped.wait(wait):
                return reply
        return reply


def _fields(body: Mapping[str, Any]) -> str:
    """Name the first refused fields; a proxy's body may have other errors, without fields."""
    errors = body.get("errors")
    faults = errors[:3] if isinstance(errors, list) else []
    return ", ".join(str(fault["field"]) for fault in faults if isinstance(fault, dict) and "field" in fault)


def _table(title: str, counts: Mapping[Any, int], total: int | None) -> Sequence[str]:
    lines = []
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        share = f"  {100 * count / total:.1f} %" if total else ""
        lines.append(f"{title:<18}{name!s:<44}{count:>8}{share}")
        title = ""
    return lines
