"""One command of `onebar` as a process of low priority, with a log file."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refresh.errors import StepError
from refresh.steps import Step

ONEBAR: tuple[str, ...] = (sys.executable, "-m", "cli.main")
_PR_SET_PDEATHSIG = 1
_LINES_SHOWN = 3
_TAIL_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Runner:
    """How commands are run.

    Attributes:
        nice: their priority, 19 is the lowest.
        threads: OMP_NUM_THREADS.
        lock: descriptor of the lock, which they inherit; None without one.
        onebar: the program and its first arguments.
    """

    nice: int
    threads: int
    lock: int | None = None
    onebar: Sequence[str] = ONEBAR

    def run(self, step: Step, log: Path) -> None:
        """Run the command of a step to its end. Its output is appended to `log`.

        Raises:
            StepError: its exit status is no accepted one.
        """
        for path in step.makes:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        extra = {name: os.path.expandvars(value) for name, value in step.environment.items()}
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)} | extra
        with log.open("ab") as output:
            output.write(f"$ {step.line}\n".encode())
            output.flush()
            status = subprocess.run(
                [*self.onebar, *step.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=() if self.lock is None else (self.lock,),
                preexec_fn=self._prepare,
                check=False,
            ).returncode
        if status not in step.accepted:
            raise StepError(
                step.name, f"`onebar {' '.join(step.command[:2])}` ended with {_named(status)}: {_end(log)}"
            )

    def _prepare(self) -> None:
        """In the new process: lower its priority, and end it when this process ends, however it ends."""
        if os.getpriority(os.PRIO_PROCESS, 0) < self.nice:
            os.setpriority(os.PRIO_PROCESS, 0, self.nice)
        end_with_parent(signal.SIGKILL)


def end_with_parent(number: signal.Signals) -> None:
    """In a new process: ask for a signal when the process that has started it ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _named(status: int) -> str:
    return f"status {status}" if status >= 0 else f"signal {-status}"


def _end(log: Path) -> str:
    """Return the last lines of a log in one line."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return " / ".join(line.strip() for line in lines[-_LINES_SHOWN:] if line.strip())[:1000]
