"""The one place that turns an exception into a command-line message.

Each package has one tree of exceptions for errors that a user can correct. Such an error is printed as one sentence.
So is an error of the operating system about a file. Every other exception is a fault of the program and keeps its
traceback.
"""

from __future__ import annotations

import os
from typing import IO, Any

import click

# By name, so that a command does not import the packages of other commands.
EXPECTED = frozenset(
    {
        "client.connection.ClientError",
        "client.rows.InputError",
        "demo.errors.DemoError",
        "evaluation.errors.EvaluationError",
        "evidence.errors.EvidenceError",
        "feature_store.errors.FeatureStoreError",
        "generation.errors.GenerationError",
        "model_export.errors.ExportError",
        "offline.errors.OfflineError",
        "refresh.errors.RefreshError",
        "service.errors.ServiceError",
        "training.errors.TrainingError",
    }
)
CANNOT_START = 2
_SERVERS = frozenset({"demo", "serve"})


class CannotStart(click.ClickException):
    """A server cannot start. The exit code is 2, to distinguish it from a server that ran and failed."""

    exit_code = CANNOT_START

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence to standard error."""
        click.echo(f"OneBar cannot start: {self.message}", file=file, err=file is None)


def message_for(error: Exception, command: str | None) -> click.ClickException | None:
    """Return the message for an exception of a command, or None if the exception is a fault of the program.

    Args:
        error: the exception.
        command: the name of the subcommand, None before one is known.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return _shown(f"{os.fsdecode(error.filename)}: {error.strerror}", command)
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if names.isdisjoint(EXPECTED):
        return None
    return _shown(str(error), command)


def _shown(sentence: str, command: str | None) -> click.ClickException:
    return CannotStart(sentence) if command in _SERVERS else click.ClickException(sentence)
