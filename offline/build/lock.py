"""One build at a time for a folder: a lock of the operating system, which ends with the process, also after kill -9."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from offline.build.errors import BusyError

LOCK_FILE = ".lock"


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the lock of a folder; the folder is created when it is missing.

    Raises:
        BusyError: another process holds it. The message names the process, its host and when it began.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / LOCK_FILE
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "a process that has just begun"
            raise BusyError(f"{out} is being built by {holder}; wait for it to end, or give another folder") from error
        file.truncate(0)
        begun = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {begun}\n")
        file.flush()
        yield
