"""The log tables that the commands of `onebar offline` read: argument and options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from offline.logs.engine import ENGINES, Engine, open_engine
from offline.logs.intake import IntakeSettings

_INTAKE = IntakeSettings()


@dataclass(frozen=True, slots=True)
class Source:
    """The log tables that a command reads.

    Attributes:
        dataset: folder or URL.
        engine: what reads them.
        settings: how bad rows are treated.
    """

    dataset: str
    engine: Engine
    settings: IntakeSettings


def reads_logs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument LOGS with its options; the command gets them as `source`."""

    @click.argument("logs", callback=_folder_or_url)
    @click.option(
        "--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True, help="Joins the tables."
    )
    @click.option("--master", default="local[*]", show_default=True, help="Address of the Spark cluster.")
    @click.option("--memory", metavar="SIZE", help="DuckDB spills to disk above it, e.g. 4GB.  [default: 80 % of RAM]")
    @click.option(
        "--max-bad-share",
        type=click.FloatRange(0, 1),
        default=_INTAKE.max_bad_share,
        show_default=True,
        help="More bad rows in a table stop the command.",
    )
    @click.option(
        "--set-aside",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder for bad rows and their faults. Default: set_aside in LOGS.",
    )
    @wraps(command)
    def with_source(
        logs: str,
        engine: str,
        master: str,
        memory: str | None,
        max_bad_share: float,
        set_aside: Path | None,
        **rest: Any,
    ) -> None:
        opened = open_engine(engine, master=master, memory=memory)
        command(source=Source(logs, opened, IntakeSettings(max_bad_share, set_aside)), **rest)

    return with_source


def _folder_or_url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if "://" not in value and not Path(value).is_dir():
        raise click.BadParameter(f"Directory '{value}' does not exist.", context, parameter)
    return value
