"""`onebar keys`: make, list and withdraw API keys."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from service.operating.keys import PERMISSIONS, create_key, read_keys, revoke_key

_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_DAY_SECONDS = 86_400


@click.group()
def keys() -> None:
    """Make, list and withdraw the API keys of a service.

    A running service reads the file again within a second, so that keys are rotated without a restart: create the new
    key, hand it to the caller, then revoke the old one.

    \b
    Example:
      onebar keys create keys.json feed
      onebar serve --keys keys.json
      onebar keys revoke keys.json 0123456789ab
    """


@keys.command()
@_FILE
@click.argument("name")
@click.option(
    "--may", "permissions", multiple=True, type=click.Choice(PERMISSIONS), help="A further permission of the key."
)
@click.option("--days", type=click.IntRange(1, 3650), help="The key expires after this many days; by default never.")
@click.option("--if-empty", is_flag=True, help="Do nothing if FILE already has a key.")
def create(file: Path, name: str, permissions: tuple[str, ...], days: int | None, if_empty: bool) -> None:
    """Add a key for the caller NAME to FILE and print it. It cannot be printed again: FILE has only its hash."""
    if not name.strip():
        raise click.BadParameter("it is empty; name the caller, such as feed", param_hint="NAME")
    if if_empty and file.exists() and read_keys(file):
        click.echo(f"{file} already has a key; nothing was changed.", err=True)
        return
    key, token = create_key(file, name, tuple(sorted(set(permissions))), days and days * _DAY_SECONDS)
    click.echo(f"Key {key.id} for {name}; it is shown only now:", err=True)
    click.echo(token)


@keys.command("list")
@_FILE
def list_keys(file: Path) -> None:
    """List the keys of FILE, without their secrets."""
    for key in read_keys(file):
        state = "never expires" if key.expires_at is None else f"expires {_day(key.expires_at)}"
        state = state if key.is_valid(time.time()) else "has expired"
        may = ", ".join(("recommend", *key.permissions))
        click.echo(f"{key.id}  {key.name:<20} made {_day(key.created_at)}, {state}, may {may}")


@keys.command()
@_FILE
@click.argument("key_id")
def revoke(file: Path, key_id: str) -> None:
    """Withdraw the key KEY_ID, the 12 hex digits that `onebar keys list` shows, from FILE."""
    key = revoke_key(file, key_id)
    click.echo(f"The key {key.id} of {key.name} is withdrawn; a running service follows within a second.")


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
