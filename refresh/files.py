"""JSON files that are replaced in one step, and the lock of a folder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from refresh.errors import BusyError, RefreshError

_LOCK = ".lock"
_PATIENCE_SECONDS = 5.0
"""How long to wait for the lock: a command of a killed refresh may need a moment to end."""


def write_text(path: Path, text: str) -> None:
    """Write a file by write, fsync and rename: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file in one step."""
    write_text(path, json.dumps(document, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None where there is none.

    Raises:
        RefreshError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RefreshError(f"{path} cannot be read as JSON ({error}); restore it, or remove it") from error


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock of a folder, which is created when it is missing.

    The lock is one of the operating system. A command that inherits its descriptor holds it as well, so that the
    command of a refresh that was killed is not run beside another one.

    Yields:
        The descriptor.

    Raises:
        BusyError: another process holds it. The message names the process, its host and when it began.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}, since {now()}".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path) -> None:
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > give_up_at:
                holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "a process that has just begun"
                raise BusyError(f"{folder} is being refreshed by {holder}; wait for it to end") from None
            time.sleep(0.1)
