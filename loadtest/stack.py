"""The service under test, as its users start it: Redis, the evidence, `onebar serve`.

Nothing is imported from the service; it is run by its command, configured by its environment and reached over HTTP.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from loadtest.traffic import evidence_files, prohibited_terms_file

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class StackError(Exception):
    """Something under test did not start or stop as it should; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running service.

    Attributes:
        url: where it answers, without a trailing slash.
        store: what kind of feature store it reads.
        log: the file that its standard error goes to; None for a service that was started elsewhere.
    """

    url: str
    store: str
    log: Path | None = None


def fetch(url: str, timeout_seconds: float = 5.0) -> tuple[int, str]:
    """GET a URL, with no proxy in between; the status and the text."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout_seconds)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


@contextmanager
def running_stack(
    bundle: Path, evidence: Path, work: Path, use_redis: bool = True, use_cache: bool = False
) -> Iterator[Stack]:
    """Start Redis where there is one (else the embedded store), load the evidence, serve the bundle; stop it all after.

    Args:
        bundle: the folder of the bundle.
        evidence: the folder of the evidence files; the service also gets its prohibited terms, where it has some.
        work: an existing folder for logs, events and the store's files.
        use_redis: False takes the embedded store even where redis-server is installed.
        use_cache: False makes the service write each answer anew, for which the objective must hold.

    Raises:
        StackError: a part did not start, or the service did not end with status 0 when it was asked to.
    """
    with ExitStack() as parts:
        redis = shutil.which("redis-server") if use_redis else None
        store_url = parts.enter_context(_redis(redis, work)) if redis else f"sqlite:///{(work / 'store.db').resolve()}"
        for path in evidence_files(evidence):
            _load(path, store_url, work / "load.log")
        port = _free_port()
        environment = os.environ | {
            "ONEBAR_BUNDLE": str(bundle),
            "ONEBAR_PORT": str(port),
            "ONEBAR_STORE__URL": store_url,
            "ONEBAR_EVENTS__PATH": str(work / "events.jsonl"),
        }
        if not use_cache:
            environment["ONEBAR_RESULT_CACHE__MAX_BYTES"] = "0"
        if terms := prohibited_terms_file(evidence):
            environment["ONEBAR_PROHIBITED_TERMS"] = str(terms)
        url = f"http://127.0.0.1:{port}"
        log = work / "serve.log"
        parts.enter_context(_serve(environment, url, log))
        yield Stack(url, "redis" if redis else "embedded", log)


def console_command() -> str:
    """The `onebar` command of this environment.

    Raises:
        StackError: it is not installed.
    """
    beside = Path(sys.executable).with_name("onebar")
    found = str(beside) if beside.exists() else shutil.which("onebar")
    if found is None:
        raise StackError("there is no `onebar` command; install the project with: pip install -e '.[loadtest]'")
    return found


@contextmanager
def _redis(command: str, work: Path) -> Iterator[str]:
    port = _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(work)]
    with _process([command, *options], work / "redis.log", None) as process:
        _wait_for(lambda: _answers_ping(port), process, work / "redis.log", "redis-server")
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _serve(environment: dict[str, str], url: str, log: Path) -> Iterator[None]:
    with _process([console_command(), "serve"], log, environment) as process:
        _wait_for(lambda: _is_ready(url), process, log, "onebar serve")
        yield
        process.terminate()
        status = process.wait(STOP_SECONDS)
        if status != 0:
            raise StackError(f"onebar serve ended with status {status} when it was asked to stop\n{_tail(log)}")


@contextmanager
def _process(
    command: Sequence[str], log: Path, environment: dict[str, str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _load(path: Path, store_url: str, log: Path) -> None:
    command = [console_command(), "evidence", "load", str(path), "--store", store_url]
    with log.open("ab") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command)} ended with status {done.returncode}\n{_tail(log)}")


def _wait_for(is_up: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, name: str) -> None:
    until = time.monotonic() + READY_SECONDS
    while not is_up():
        if process.poll() is not None:
            raise StackError(f"{name} ended with status {process.returncode}\n{_tail(log)}")
        if time.monotonic() > until:
            raise StackError(f"{name} was not up within {READY_SECONDS:g} seconds\n{_tail(log)}")
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    try:
        return fetch(f"{url}/readyz")[0] == 200
    except OSError:
        return False


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
