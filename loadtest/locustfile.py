"""Locust scenarios for OneBar; `python -m loadtest.run` runs them with everything around.

By hand, against a service that has the demo's evidence in its store:

    ONEBAR_KEY=KEY locust -f loadtest/locustfile.py --host http://127.0.0.1:8000 --users 100

Coordinated omission: a generator that waits for an answer before it sends the next request sends less while the
service is slow. The requests that would have waited are then missing from its figures. Here every user has a schedule
of its own that does not depend on answers (a Poisson process of a low rate). Many users together make the rate, so an
answer that takes seconds delays one user and not the traffic. How late calls left is recorded as ``lag_ms``, beside
their latency; the objective is judged by the sum. Locust's own figures lack the lag.

Environment: ``ONEBAR_KEY`` (the API key, where the service needs one), ``ONEBAR_LOADTEST_EVIDENCE`` (folder of the
evidence files), ``ONEBAR_LOADTEST_USER_RATE`` (calls a second of each user), ``ONEBAR_LOADTEST_SEED``,
``ONEBAR_LOADTEST_WARM_UP`` (seconds that are not part of the measurement), ``ONEBAR_LOADTEST_RESULTS`` (folder that
samples and two scrapes of /metrics are written to) with ``ONEBAR_LOADTEST_ADMIN_URL`` (where /metrics is).
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events, task

from loadtest.checks import TermList
from loadtest.samples import Sample, judge_call, write_samples
from loadtest.stack import fetch_text, key_header
from loadtest.traffic import open_traffic, prohibited_terms_file

EVIDENCE = Path(os.environ.get("ONEBAR_LOADTEST_EVIDENCE", "demo/evidence"))
USER_RATE = float(os.environ.get("ONEBAR_LOADTEST_USER_RATE", "0.2"))
SEED = int(os.environ.get("ONEBAR_LOADTEST_SEED", "0"))
WARM_UP_SECONDS = float(os.environ.get("ONEBAR_LOADTEST_WARM_UP", "0"))
RESULTS = os.environ.get("ONEBAR_LOADTEST_RESULTS")
ADMIN_URL = os.environ.get("ONEBAR_LOADTEST_ADMIN_URL", "http://127.0.0.1:8001")
HEADERS = {"Content-Type": "application/json"} | key_header(os.environ.get("ONEBAR_KEY"))


class Run:
    """One run: its traffic, its clock and its samples."""

    def __init__(self) -> None:
        self.traffic = open_traffic(EVIDENCE, SEED)
        self.prohibited = TermList.read(prohibited_terms_file(EVIDENCE))
        self.phases = random.Random(SEED)
        self.samples: list[Sample] = []
        self.started_at = time.perf_counter()


run = Run()


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def start(**_: Any) -> None:
    """Start the clock, and read the service's metrics when the warm-up is over."""
    run.started_at = time.perf_counter()
    run.samples.clear()
    if RESULTS:
        gevent.spawn_later(WARM_UP_SECONDS, scrape, "before.prom")


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def stop(**_: Any) -> None:
    """Read the metrics again, and write the samples for the report."""
    if RESULTS:
        scrape("after.prom")
        write_samples(Path(RESULTS) / "samples.jsonl", run.samples)


def scrape(name: str) -> None:
    """Write the present metrics to a file of the results."""
    (Path(RESULTS or ".") / name).write_text(fetch_text(f"{ADMIN_URL}/metrics"), encoding="utf-8")


class Viewer(FastHttpUser):
    """A share of the feed's traffic; which person watches is drawn anew for every call."""

    connection_timeout = 5.0
    network_timeout = 5.0

    def on_start(self) -> None:
        """Draw when this user's first call is due."""
        self.due = time.perf_counter() + run.phases.expovariate(USER_RATE)
        gevent.sleep(max(0.0, self.due - time.perf_counter()))

    def wait_time(self) -> float:
        """Seconds until the next call is due, by the schedule and not by when the last answer came."""
        self.due += run.phases.expovariate(USER_RATE)
        return max(0.0, self.due - time.perf_counter())

    @task
    def call(self) -> None:
        """Send the next call and check its answer."""
        call = run.traffic.next_call()
        body = json.dumps(call.body)
        left = time.perf_counter()
        with self.client.post(
            call.path, data=body, headers=HEADERS, name=f"{call.path} {call.scenario}", catch_response=True
        ) as response:
            latency = time.perf_counter() - left
            status = response.status_code or 0
            faults, outcomes = judge_call(call, status, response.content or b"", run.prohibited)
            if faults or status == 429:
                response.failure(faults[0] if faults else "refused with 429")
            else:
                response.success()
        run.samples.append(
            Sample(
                scenario=call.scenario, due_seconds=self.due - run.started_at, lag_ms=max(0.0, left - self.due) * 1000,
                latency_ms=latency * 1000, status=status, faults=tuple(faults), outcomes=tuple(outcomes),
            )
        )  # fmt: skip
