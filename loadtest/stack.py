"""The service under test, as its users start it: Redis, the evidence, `onebar serve`.

No code of the service is imported. It is started by its command, configured by its environment, and reached by HTTP.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from loadtest.processes import STOP_SECONDS, StackError, free_port, log_tail, running_process, wait_until_up
from loadtest.redis_server import running_redis
from loadtest.traffic import evidence_files, prohibited_terms_file


@dataclass(frozen=True, slots=True)
class Stack:
    """A running service.

    Attributes:
        url: where it answers, without a trailing slash.
        admin_url: where /metrics and /version are.
        store: what kind of feature store it reads.
        log: the file that its standard error goes to; None for a service that was started elsewhere.
    """

    url: str
    admin_url: str
    store: str
    log: Path | None = None


def address_of(url: str) -> tuple[str, int, str]:
    """Return the host, the port and the path of a URL, the path without a slash at its end.

    Raises:
        StackError: the URL is not one of plain HTTP. A key must not go to an https port in plain text.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # such as a port over 65535
        host = None
    if not host or parts.scheme != "http":
        raise StackError(f"{url!r} is not an address such as http://127.0.0.1:8000; there is no TLS here")
    return host, port or 80, parts.path.rstrip("/")


def fetch_text(url: str) -> str:
    """GET a URL and return the text.

    Raises:
        OSError: there is no connection.
        StackError: the answer is not one of HTTP with status 200.
    """
    try:
        status, text = fetch(url)
    except http.client.HTTPException as error:
        raise StackError(f"{url} did not answer in HTTP ({error!r})") from error
    if status != 200:
        raise StackError(f"{url} answered with status {status}")
    return text


def fetch(url: str, timeout_seconds: float = 5.0) -> tuple[int, str]:
    """GET a URL without a proxy; return the status and the text.

    Raises:
        OSError: there is no connection.
        StackError: the URL is not one of plain HTTP.
    """
    host, port, path = address_of(url)
    connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path or "/")
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    finally:
        connection.close()


def key_header(key: str | None) -> dict[str, str]:
    """Return the header that sends an API key; none without a key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


@contextmanager
def running_stack(
    bundle: Path, evidence: Path, work: Path, use_redis: bool = True, use_cache: bool = False
) -> Iterator[Stack]:
    """Start Redis where it is installed (else the embedded store), load the evidence and serve the bundle.

    All of it is stopped at the end.

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
        embedded = f"sqlite:///{(work / 'store.db').resolve()}"
        store_url = parts.enter_context(running_redis(work, redis)) if redis else embedded
        key = work / "users.key"
        if not key.exists():
            _run([console_command(), "privacy", "new-key", str(key)], work / "load.log")
        for path in evidence_files(evidence):
            load = [console_command(), "evidence", "load", str(path), "--store", store_url, "--user-key", str(key)]
            _run(load, work / "load.log")
        port, admin_port = free_port(), free_port()
        environment = os.environ | {
            "ONEBAR_BUNDLE": str(bundle),
            "ONEBAR_PORT": str(port),
            "ONEBAR_ADMIN_PORT": str(admin_port),
            "ONEBAR_DRAIN_SECONDS": "0",  # no load balancer has to notice the end
            "ONEBAR_STORE__URL": store_url,
            "ONEBAR_EVENTS__PATH": str(work / "events.jsonl"),
            "ONEBAR_PRIVACY__KEY_FILE": str(key),
        }
        if not use_cache:
            environment["ONEBAR_RESULT_CACHE__MAX_BYTES"] = "0"
        if terms := prohibited_terms_file(evidence):
            environment["ONEBAR_PROHIBITED_TERMS"] = str(terms)
        admin_url = f"http://127.0.0.1:{admin_port}"
        log = work / "serve.log"
        parts.enter_context(_serve(environment, admin_url, log))
        yield Stack(f"http://127.0.0.1:{port}", admin_url, "redis" if redis else "embedded", log)


def console_command() -> str:
    """Return the `onebar` command of this environment.

    Raises:
        StackError: it is not installed.
    """
    beside = Path(sys.executable).with_name("onebar")
    found = str(beside) if beside.exists() else shutil.which("onebar")
    if found is None:
        raise StackError("there is no `onebar` command; install the project with: pip install -e '.[loadtest]'")
    return found


@contextmanager
def _serve(environment: dict[str, str], admin_url: str, log: Path) -> Iterator[None]:
    with running_process([console_command(), "serve"], log, environment) as process:
        wait_until_up(lambda: _is_ready(admin_url), process, log, "onebar serve")
        yield
        process.terminate()
        status = process.wait(STOP_SECONDS)
        if status != 0:
            raise StackError(f"onebar serve ended with status {status} when it was asked to stop\n{log_tail(log)}")


def _run(command: Sequence[str], log: Path) -> None:
    with log.open("ab") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command)} ended with status {done.returncode}\n{log_tail(log)}")


def _is_ready(admin_url: str) -> bool:
    try:
        return fetch(f"{admin_url}/readyz")[0] == 200
    except OSError:
        return False
