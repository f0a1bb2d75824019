"""A running `onebar serve` under measurement: its ports, its process, its metrics and its log.

The command may be that of another checkout, so that a commit of before can be measured by the same code. A service
without an admin port has its metrics on the public one.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.histograms import Scrape
from loadtest.processes import free_port, running_process, wait_until_up
from loadtest.redis_server import running_redis
from loadtest.stack import fetch
from loadtest.traffic import evidence_files, prohibited_terms_file

LAG_METRIC = "onebar_event_loop_lag_seconds"
LARGEST_LAG_METRIC = "onebar_event_loop_lag_max_seconds"


@dataclass(frozen=True, slots=True)
class LiveService:
    """A running service.

    Attributes:
        process: of `onebar serve`.
        port: the public one, on 127.0.0.1.
        operators_port: where health and metrics are; the public port on a service that has no other.
        log: the file with its standard error.
    """

    process: subprocess.Popen[bytes]
    port: int
    operators_port: int
    log: Path

    def healthy(self, timeout_seconds: float = 5.0) -> bool:
        """Return whether /healthz answers 200 in time."""
        try:
            return fetch(f"http://127.0.0.1:{self.operators_port}/healthz", timeout_seconds)[0] == 200
        except OSError:
            return False

    def metrics(self) -> Scrape:
        """Return a reading of /metrics."""
        return Scrape.parse(fetch(f"http://127.0.0.1:{self.operators_port}/metrics", 30.0)[1])

    def resident_mb(self) -> float:
        """Return the resident memory of the process, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def log_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the log; one that is not JSON, as of a traceback, has the level "raw"."""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    yield json.loads(line)
                except ValueError:
                    yield {"level": "raw", "message": line}


@contextmanager
def live_service(
    command: Path,
    bundle: Path,
    evidence: Path,
    work: Path,
    *arguments: str,
    redis: bool = False,
    prefix: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Iterator[LiveService]:
    """Serve a bundle with its evidence on free ports, and stop it at the end.

    Args:
        command: the `onebar` to run.
        bundle: the folder of the bundle.
        evidence: the folder of the evidence files.
        work: an existing folder for logs.
        *arguments: further arguments of `onebar serve`.
        redis: whether the evidence is in a redis-server of its own; else it is in the process.
        prefix: a command before the service's, such as prlimit.
        environment: ONEBAR_ variables, without their prefix.

    Raises:
        StackError: a part did not start.
    """
    settings = {"BUNDLE": str(bundle), "EVENTS__PATH": "/dev/null"}
    with ExitStack() as parts:
        files = [path.resolve() for path in evidence_files(evidence)]
        if redis:
            key = work / "users.key"
            key.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
            key.chmod(0o600)
            settings |= {"STORE__URL": parts.enter_context(running_redis(work)), "PRIVACY__KEY_FILE": str(key)}
            # As variables, not as options: those of pseudonyms are newer than the oldest commit that is measured.
            load_settings = {f"ONEBAR_{name}": settings[name] for name in ("STORE__URL", "PRIVACY__KEY_FILE")}
            for path in files:
                load = [str(command), "evidence", "load", str(path)]
                subprocess.run(load, check=True, capture_output=True, env=os.environ | load_settings)
        else:
            settings["STORE__EVIDENCE"] = json.dumps([str(path) for path in files])
        if terms := prohibited_terms_file(evidence):
            settings["PROHIBITED_TERMS"] = str(terms)
        yield parts.enter_context(serving(command, settings | (environment or {}), work, *arguments, prefix=prefix))


@contextmanager
def serving(
    command: Path, settings: Mapping[str, str], work: Path, *arguments: str, prefix: tuple[str, ...] = ()
) -> Iterator[LiveService]:
    """Run `onebar serve` on free ports until it is ready, and stop it at the end.

    Args:
        command: the `onebar` to run.
        settings: ONEBAR_ variables, without their prefix; the ports are added.
        work: an existing folder for the log.
        *arguments: of `onebar serve`.
        prefix: a command before the service's, such as prlimit.

    Raises:
        StackError: it did not start.
    """
    port, admin_port = free_port(), free_port()
    ports = {"PORT": str(port), "ADMIN_PORT": str(admin_port)}
    variables = {f"ONEBAR_{name}": value for name, value in (ports | dict(settings)).items()}
    log = work / "serve.log"
    with running_process([*prefix, str(command), "serve", *arguments], log, os.environ | variables) as process:
        wait_until_up(lambda: _answers(port), process, log, "onebar serve")
        yield LiveService(process, port, admin_port if _answers(admin_port) else port, log)


def _answers(port: int) -> bool:
    try:
        return fetch(f"http://127.0.0.1:{port}/readyz")[0] == 200
    except OSError:
        return False
