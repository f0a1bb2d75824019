"""A redis-server for one measurement: on a free port, without persistence."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.processes import free_port, running_process, wait_until_up


@contextmanager
def running_redis(work: Path, command: str = "redis-server") -> Iterator[str]:
    """Run a redis-server and give its URL.

    Args:
        work: an existing folder for its log.
        command: the program.

    Raises:
        StackError: it did not start.
    """
    port = free_port()
    log = work / "redis.log"
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(work)]
    with running_process([command, *options], log) as process:
        wait_until_up(lambda: _answers_ping(port), process, log, "redis-server")
        yield f"redis://127.0.0.1:{port}/0"


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
