"""The load of a run: calls at a steady rate without a pause, and what was going on when each was due."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.live_service import LiveService
from benchmarks.refresh_days.visits import Day, Viewers
from benchmarks.windows import Window
from loadtest.checks import TermList
from loadtest.open_loop import Calls, run_rate
from loadtest.samples import Sample
from loadtest.stack import fetch
from service.operating.promotion import CURRENT

_PIECE_SECONDS = 2.0
_LOOK_SECONDS = 0.05
_LONGEST_CHANGE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a run.

    Attributes:
        name: what was going on.
        began: in seconds of the event loop's clock.
        ended: the same.
    """

    name: str
    began: float
    ended: float


class Load:
    """Sends calls of viewers, and keeps their samples. For one event loop.

    Attributes:
        changes: of the bundle, each with the model version that is served since then.
        follower: the task of `follow`, if it runs.
        bundles_loaded: the most bundles that were seen in the memory of the service.
    """

    def __init__(self, service: LiveService, viewers: Viewers, rate: float, terms: TermList, promoted: Path) -> None:
        """Keep what the load needs.

        Args:
            service: gets the calls.
            viewers: send them.
            rate: calls a second.
            terms: prohibited ones; an answer with one of them is wrong.
            promoted: folder of the record that the service follows.
        """
        self._service, self._viewers, self._rate, self._terms = service, viewers, rate, terms
        self._record = promoted / CURRENT
        self._samples: list[tuple[float, Sample]] = []
        self._memory: list[tuple[float, float]] = []
        self._seed = 0
        self.changes: list[Span] = []
        self.follower: asyncio.Task[None] | None = None
        self.bundles_loaded = 0

    @property
    def samples(self) -> list[Sample]:
        """All samples."""
        return [sample for _, sample in self._samples]

    @property
    def largest_mb(self) -> float:
        """The most memory that the service had, in MiB."""
        return max((mb for _, mb in self._memory), default=0.0)

    def forget(self) -> None:
        """Drop the samples so far."""
        self._samples.clear()

    def window(self, span: Span) -> Window:
        """Return the requests of a stretch; its memory is the most that the service had."""
        samples = [sample for due, sample in self._samples if span.began <= due < span.ended]
        memory = [mb for at, mb in self._memory if span.began <= at < span.ended]
        return Window(span.ended - span.began, samples, max(memory, default=0.0))

    async def play(self, day: Day, windows: int) -> list[Span]:
        """Send the impressions of a day and return its windows, which have about the same number of calls."""
        self._viewers.begin(day.visits)
        seconds = len(day.visits) / self._rate / windows
        spans = [await self._piece(day, seconds) for _ in range(windows)]
        while day.left:
            await self._piece(day, min(seconds, day.left / self._rate + 0.1))
        await self._viewers.settled()
        return spans

    async def during(self, traffic: Calls, work: Awaitable[Any]) -> Any:
        """Send calls while something is done, and return its result.

        Raises:
            RuntimeError: see `follow`.
        """
        task = asyncio.ensure_future(work)
        while not task.done():
            if self.follower is not None and self.follower.done():
                task.cancel()
                self.follower.result()
            await self._piece(traffic, _PIECE_SECONDS)
        return await task

    async def follow(self) -> None:
        """Note each change of the bundle, until the task is cancelled.

        A change begins when the record is written, and ends when the old bundle is freed.

        Raises:
            RuntimeError: the service refused a bundle, or did not change in time.
        """
        clock = asyncio.get_running_loop().time
        own = bundle_state(self._service)["model_version"]
        before = self._stamp()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._stamp() == before:
                continue
            began, before = clock(), self._stamp()
            wanted = json.loads(self._record.read_text(encoding="utf-8"))["bundle_id"] or own
            state: dict[str, Any] = {}
            counted = False
            while state.get("model_version") != wanted or state["state"] != "idle":
                if state.get("fault") or clock() - began > _LONGEST_CHANGE_SECONDS:
                    raise RuntimeError(f"the service did not change its bundle: {state}")
                await asyncio.sleep(_LOOK_SECONDS)
                state = await asyncio.to_thread(bundle_state, self._service)
                if state["state"] != "idle" and not counted:
                    counted = True
                    metrics = await asyncio.to_thread(self._service.metrics)
                    self.bundles_loaded = max(self.bundles_loaded, int(metrics.total("onebar_bundles_loaded")))
            self.changes.append(Span(wanted, began, clock()))

    def _stamp(self) -> int:
        return self._record.stat().st_mtime_ns if self._record.exists() else 0

    async def _piece(self, traffic: Calls, seconds: float) -> Span:
        clock = asyncio.get_running_loop().time
        memory = asyncio.ensure_future(self._watch_memory())
        began, self._seed = clock(), self._seed + 1
        samples = await run_rate(self._viewers, traffic, self._rate, seconds, self._seed, self._terms)
        memory.cancel()
        self._samples += [(began + sample.due_seconds, sample) for sample in samples]
        return Span("load", began, clock())

    async def _watch_memory(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._memory.append((clock(), self._service.resident_mb()))
            await asyncio.sleep(0.2)


def bundle_state(service: LiveService) -> dict[str, Any]:
    """Return what the service says of its bundle."""
    found: dict[str, Any] = json.loads(fetch(f"http://127.0.0.1:{service.operators_port}/bundle")[1])
    return found


async def run_steps(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, list[Span]]:
    """Run a refresh; return its exit status and the spans of its steps, as it prints them."""
    clock = asyncio.get_running_loop().time
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT, env=dict(environment))
    assert process.stdout is not None
    spans: list[Span] = []
    began: dict[str, float] = {}
    while line := (await process.stdout.readline()).decode("utf-8", "replace"):
        click.echo(line.rstrip())
        name, _, rest = line.partition(" ")
        if rest.strip().startswith("onebar "):
            began[name] = clock()
        elif name in began:
            spans.append(Span(name, began.pop(name), clock()))
    return await process.wait(), spans
