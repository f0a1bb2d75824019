"""The logs and their vectors, which several steps use. They are read and made once, by the first step that runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from offline.cli_options import Source
from offline.embedder.folder import load_embedder
from offline.evidence.embedded_logs import EmbeddedLogs, embed_coded_logs, named_steps
from offline.logs.coded import Logs, code_logs
from offline.logs.intake import ORDER, Intake, read_logs


def shows_progress() -> bool:
    """Whether progress bars are shown: only on a terminal."""
    return sys.stderr.isatty()


class SharedLogs:
    """The log tables, and what is coded of them."""

    def __init__(self, source: Source, replaced: dict[str, Path]) -> None:
        """Name the tables; nothing is read yet.

        Args:
            source: the dataset and its engine.
            replaced: by table, the folder that it is read from instead.
        """
        self.source = source
        self.replaced = replaced

    @cached_property
    def intake(self) -> Intake:
        """The checked tables. Reading them raises an OfflineError if they cannot be used."""
        source = self.source
        settings = replace(source.settings, replaced=self.replaced)
        with named_steps(len(ORDER), "tables", shows_progress()) as step:
            return read_logs(source.dataset, source.engine, settings, lambda name: step(f"checking {name}"))

    @cached_property
    def logs(self) -> Logs:
        """The coded logs."""
        intake = self.intake
        with named_steps(1, "logs", shows_progress()) as step:
            step("coding the logs")
            return code_logs(intake, self.source.dataset)


class SharedVectors:
    """The logs with the vectors of one embedder."""

    def __init__(self, shared: SharedLogs, embedder: Path | None) -> None:
        """Name the embedder; nothing is read yet.

        Args:
            shared: the logs.
            embedder: folder of the embedder, which a step before may write; None takes the hashed one.
        """
        self._shared = shared
        self.embedder = embedder

    @property
    def dataset(self) -> str:
        """Folder or URL of the log tables."""
        return self._shared.source.dataset

    @cached_property
    def embedded(self) -> EmbeddedLogs:
        """The logs with their vectors. Raises an EmbedderError if the folder cannot be used."""
        embedder = load_embedder(self.embedder)
        return embed_coded_logs(self._shared.logs, embedder=embedder, show_progress=shows_progress())
