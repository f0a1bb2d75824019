"""Child processes of a measurement: each with a log, waited for until it is up, and stopped at the end."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class StackError(Exception):
    """A process did not start or stop as it should; the message has the end of its log."""


@contextmanager
def running_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in `log`; stop it at the end if it still runs.

    Args:
        command: the program and its arguments.
        log: the file for standard output and standard error.
        environment: all environment variables of the process; None hands down those of this one.
    """
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


def wait_until_up(is_up: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, name: str) -> None:
    """Wait until `is_up` returns True.

    Raises:
        StackError: the process ended, or it was not up within `READY_SECONDS`.
    """
    until = time.monotonic() + READY_SECONDS
    while not is_up():
        if process.poll() is not None:
            raise StackError(f"{name} ended with status {process.returncode}\n{log_tail(log)}")
        if time.monotonic() > until:
            raise StackError(f"{name} was not up within {READY_SECONDS:g} seconds\n{log_tail(log)}")
        time.sleep(0.1)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def log_tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
