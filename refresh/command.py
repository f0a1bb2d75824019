"""`onebar refresh`."""

from __future__ import annotations

from pathlib import Path

import click

from refresh.config import load_config
from refresh.run import plan
from refresh.run import refresh as run


@click.command()
@click.option("--config", "config_file", default=Path("refresh.yaml"), show_default=True,
              type=click.Path(dir_okay=False, path_type=Path), help="The settings (docs/refresh.md).")  # fmt: skip
@click.option("--day", type=click.IntRange(0), required=True, help="The log day whose events are new.")
@click.option("--dry-run", is_flag=True, help="Print the commands, and run nothing.")
def refresh(config_file: Path, day: int, dry_run: bool) -> None:
    """Train on the logs up to a day, and promote the new bundle if it is not worse than the served one.

    Runs the other commands: events export, offline build, evidence publish, train, export, gate, bundle promote. A
    refresh that was killed goes on when it is run again. The exit status is 0 if the candidate was promoted or refused,
    and 1 if a step failed.

    \b
    onebar refresh --config refresh.yaml --day 12 --dry-run
    onebar refresh --config refresh.yaml --day 12
    """
    config = load_config(config_file)
    if dry_run:
        for step in plan(config, day):
            click.echo(f"{step.name:<12} {step.line}")
        return
    run(config, day, click.echo)
