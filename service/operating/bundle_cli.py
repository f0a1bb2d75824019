"""`onebar bundle`: promote a bundle, return to the one of before, and list what was done."""

from __future__ import annotations

from pathlib import Path

import click

from service.operating.promotion import Promotion, promote, read_current, read_history, rollback

_PROMOTED = click.option(
    "--promoted",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="ONEBAR_PROMOTION__FOLDER",
    required=True,
    help="The folder of the record that the services follow; also ONEBAR_PROMOTION__FOLDER.",
)


@click.group()
def bundle() -> None:
    """Change the bundle that running services serve, without a restart.

    Every service with ONEBAR_PROMOTION__FOLDER reads the record in that folder once a second. It loads a promoted
    bundle beside the one that it serves, checks it, and changes to it between two requests.

    \b
    Example:
      ONEBAR_PROMOTION__FOLDER=var/promoted onebar serve --bundle bundles/monday
      onebar bundle promote bundles/tuesday --promoted var/promoted --reason "daily refresh"
      onebar bundle rollback --promoted var/promoted --reason "fewer clicks"
    """


@bundle.command("promote")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@_PROMOTED
@click.option("--reason", default="by hand", show_default=True, help="Why; it is kept in the history.")
def promote_command(folder: Path, promoted: Path, reason: str) -> None:
    """Let the services serve the bundle in FOLDER, which must stay there unchanged."""
    _say(promote(promoted, folder, reason))


@bundle.command("rollback")
@_PROMOTED
@click.option("--reason", default="rollback", show_default=True, help="Why; it is kept in the history.")
def rollback_command(promoted: Path, reason: str) -> None:
    """Let the services return to the bundle that was promoted before the present one."""
    _say(rollback(promoted, reason))


@bundle.command("history")
@_PROMOTED
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Changes to list, newest first.")
def history_command(promoted: Path, limit: int) -> None:
    """List the promotions and rollbacks."""
    current = read_current(promoted)
    if current is None:
        click.echo(f"Nothing was promoted in {promoted}.", err=True)
    for entry in read_history(promoted, limit):
        named = f"{entry.get('bundle_id')}  {entry.get('bundle')}" if entry.get("bundle") else "the bundle of settings"
        click.echo(f"{entry.get('promoted_at')}  {entry.get('kind'):<9}  {named}  ({entry.get('reason')})")


def _say(record: Promotion) -> None:
    name = f"the model {record.bundle_id}" if record.bundle_id else "the bundle of the services' own settings"
    click.echo(
        f"The services that follow this record change to {name} when they have checked it; GET /bundle on the admin"
        " port says whether they have."
    )
