"""`onebar serve` as a process of its own, for tests that need its sockets, signals or limits."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.redis_servers import free_port, wait_until

START_SECONDS = 60
STOP_SECONDS = 60


@dataclass(slots=True)
class Served:
    """A running service: its ports, its process, and its log lines so far."""

    process: subprocess.Popen[str]
    port: int
    admin_port: int
    lines: list[dict[str, Any]] = field(default_factory=list)

    def get(self, path: str, admin: bool = False, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """GET a path; return the status and the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def post(
        self, body: dict[str, Any], path: str = "/recommend", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """POST a body on a new connection; return the status and the document."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {"content-type": "application/json"} | (headers or {})
            connection.request("POST", path, json.dumps(body), sent)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def metric(self, sample: str) -> float:
        """Return the value of one sample of /metrics."""
        for line in self.get("/metrics", admin=True)[1].splitlines():
            if line.startswith(sample + " "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"there is no sample {sample}")

    def resident_mb(self) -> float:
        """Return the resident memory of the process in MiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("the process is gone")

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def serving(bundle: Path, *arguments: str, prefix: Sequence[str] = (), **environment: str) -> Iterator[Served]:
    """Start the service on free ports, wait until it is ready, and stop it at the end.

    Args:
        bundle: the folder of the bundle.
        *arguments: further arguments of `onebar serve`.
        prefix: a command before Python's, such as prlimit.
        **environment: ONEBAR_ variables without their prefix.
    """
    port, admin_port = free_port(), free_port()
    command = [*prefix, sys.executable, "-m", "cli.main", "serve", "--bundle", str(bundle), "--port", str(port)]
    defaults = {"ADMIN_PORT": str(admin_port), "DRAIN_SECONDS": "0", "EVENTS__SINK": "none"}
    variables = {f"ONEBAR_{name}": value for name, value in (defaults | environment).items()}
    process = subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | variables
    )
    served = Served(process, port, admin_port)
    assert process.stderr is not None

    def read(stream: Any) -> None:
        for line in stream:
            served.lines.append(json.loads(line) if line.startswith("{") else {"message": line})

    reader = threading.Thread(target=read, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        wait_until(lambda: process.poll() is not None or _is_ready(served), "the service", START_SECONDS)
        assert process.poll() is None, served.lines
        yield served
    finally:
        served.stop()
        reader.join()
        process.stderr.close()


def _is_ready(served: Served) -> bool:
    try:
        return served.get("/readyz", admin=True)[0] == 200
    except OSError:
        return False
