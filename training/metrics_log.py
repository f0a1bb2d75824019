"""The log of a run: metrics.jsonl in its folder, and a progress bar."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from torch import Tensor
from tqdm import tqdm

from training.checkpoint import METRICS_FILE
from training.run_state import Progress


@dataclass(slots=True)
class MetricsLog:
    """Figures of steps, averaged between two records.

    Attributes:
        progress: of the run; every record has its step and seconds.
        file: None in all processes but the first, which write nothing.
        bar: counts steps.
    """

    progress: Progress
    file: IO[str] | None
    bar: tqdm[NoReturn]
    _sums: dict[str, Tensor | float] = field(default_factory=dict)
    _steps: int = 0

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record."""
        if self.file is not None:
            values = {"step": self.progress.step, "seconds": round(self.progress.seconds, 1), **record}
            self.file.write(json.dumps(values) + "\n")
            self.file.flush()

    def write_evaluation(self, measured: Mapping[str, float]) -> None:
        """Append the figures of an evaluation, and show them."""
        self.write({"evaluation": dict(measured)})
        if self.file is not None:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
            tqdm.write(f"step {self.progress.step}: {shown}")

    def count_step(self, figures: Mapping[str, Tensor]) -> None:
        """Add the figures of one step, scalars, to those of the next record. Their sum stays on their device."""
        self._steps += 1
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.double()
        self.bar.update()

    def write_steps(self, rate: float, done: float) -> None:
        """Append the mean figures of the steps since the last record.

        Args:
            rate: the learning rate of the last step.
            done: the used share of the budget.
        """
        means = {name: round(float(total) / self._steps, 5) for name, total in self._sums.items()}
        self.write({**means, "lr": rate, "samples": self.progress.samples})
        speed = self.progress.samples / self.progress.seconds
        self.bar.set_postfix(loss=f"{means['loss']:.3f}", samples_s=f"{speed:.0f}", budget=f"{done:.0%}")
        self._sums.clear()
        self._steps = 0


@contextmanager
def open_log(out: Path, progress: Progress, total_steps: int, *, is_first: bool) -> Iterator[MetricsLog]:
    """Open the log of a run, which is continued where there is one.

    Args:
        out: folder of the run.
        progress: of the run.
        total_steps: of the progress bar.
        is_first: whether this is the first process, which alone writes.
    """
    with (
        open(out / METRICS_FILE, "a", encoding="utf-8") as file,
        tqdm(
            total=total_steps, initial=progress.step, desc="training", unit="step", mininterval=5, disable=not is_first
        ) as bar,
    ):
        yield MetricsLog(progress, file if is_first else None, bar)
