"""Replaces a file in one step: readers see the old content or the new one, and never a part of it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNER_ONLY = 0o600


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Let one process at a time change the files of a folder: a change must not overwrite another one.

    Raises:
        OSError: the folder cannot be opened.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def replace_file(path: Path, content: bytes, *, new_mode: int = _OWNER_ONLY) -> None:
    """Write a file beside it, and rename that. Mode and group are kept.

    Args:
        path: of the file.
        content: the new one.
        new_mode: the mode of a file that was not there.

    Raises:
        OSError: it cannot be written. The file is as before, and nothing is left beside it.
    """
    before = path.stat() if path.exists() else None
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        written = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            written.chmod(before.st_mode & 0o777 if before else new_mode)
            if before and before.st_gid != written.stat().st_gid:  # the service may read by its group
                os.chown(written, -1, before.st_gid)
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name survives a crash of the machine
    finally:
        os.close(folder)
