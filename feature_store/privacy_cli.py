"""`onebar privacy` and `onebar erase`: keys of user pseudonyms, and the removal of a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from feature_store.event_files import erase_events, erase_stream
from feature_store.pseudonym import make_key_file, open_key_ring, read_key_ring, rotate_key_file
from feature_store.schemes import STORE_URLS
from feature_store.user_records import erase as erase_records
from feature_store.user_records import open_user_records
from feature_store.user_records import rekey as rekey_records

Command = Callable[..., Any]

_key_file_option = click.option(
    "--user-key",
    "key_file",
    envvar="ONEBAR_PRIVACY__KEY_FILE",
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The keys of user pseudonyms; `onebar privacy new-key` makes them.",
)
_raw_option = click.option(
    "--raw-user-ids",
    is_flag=True,
    envvar="ONEBAR_PRIVACY__RAW_USER_IDS",
    show_envvar=True,
    help="Keep user ids as they are.",
)
_required_store_option = click.option(
    "--store",
    required=True,
    envvar="ONEBAR_STORE__URL",
    show_envvar=True,
    help=STORE_URLS,
)


def key_options(command: Command) -> Command:
    """Add `--user-key` and `--raw-user-ids` to a command."""
    return _key_file_option(_raw_option(command))


@click.group()
def privacy() -> None:
    """Keys of user pseudonyms: make, rotate, re-key a store."""


@privacy.command("new-key")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def new_key(file: Path) -> None:
    """Make FILE with a new key; an existing file is not overwritten.

    The loader, the service and the tools that join logs share it. With the key, one can test which user a pseudonym is.

    \b
    Example:
      onebar privacy new-key users.key
      export ONEBAR_PRIVACY__KEY_FILE=$PWD/users.key
    """
    click.echo(f"{file} is made; its pseudonyms begin with {make_key_file(file).names[-1]}.")


@privacy.command("rotate-key")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def rotate_key(file: Path) -> None:
    """Add a new key to FILE; from then on it is the current one. Older keys stay, since new pseudonyms build on them.

    \b
    Example:
      onebar privacy rotate-key users.key
      onebar privacy rekey --store redis://localhost:6379/0 --user-key users.key
      (replace the service's key file, restart it, then)
      onebar privacy rekey --store redis://localhost:6379/0 --user-key users.key --drop-old
    """
    click.echo(f"{file} has a new key; its pseudonyms begin with {rotate_key_file(file).names[-1]}.")


@privacy.command()
@click.argument("user_id")
@_key_file_option
def pseudonym(user_id: str, key_file: Path | None) -> None:
    """Print all pseudonyms of USER_ID, the current one last; for joins with events and logs.

    \b
    Example:
      onebar privacy pseudonym u1 --user-key users.key
    """
    ring = open_key_ring(key_file, raw_user_ids=False)
    click.echo("\n".join(ring.from_here(user_id)) if ring else user_id)


@privacy.command()
@_required_store_option
@click.option(
    "--user-key",
    "key_file",
    required=True,
    envvar="ONEBAR_PRIVACY__KEY_FILE",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With the new key last.",
)
@click.option("--drop-old", is_flag=True, help="Delete each record under its old key once it is copied.")
def rekey(store: str, key_file: Path, drop_old: bool) -> None:
    """Bring the users of a store under the newest key, from older keys or from raw ids.

    Without --drop-old the old records stay until they expire, so that a service with the old keys still finds them.

    \b
    Example:
      onebar privacy rekey --store redis://localhost:6379/0 --user-key users.key
    """
    ring = read_key_ring(key_file)
    records = open_user_records(store)
    try:
        outcomes = rekey_records(records, ring, drop_old=drop_old)
    finally:
        records.close()
    moved = "moved" if drop_old else "copied"
    said = f"{outcomes['copied']:,} records {moved}"
    if outcomes["unknown"]:
        said += f", {outcomes['unknown']:,} have a key that is not in {key_file} and stay as they are"
    click.echo(said)


@click.command()
@click.argument("user_id")
@_required_store_option
@key_options
@click.option(
    "--events",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A JSON Lines file of events, or a folder of them; may be repeated.",
)
@click.option(
    "--spool",
    envvar="ONEBAR_EVENTS__SPOOL_PATH",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the event spool.",
)
@click.option(
    "--stream", default="onebar:events", envvar="ONEBAR_EVENTS__STREAM", show_default=True, help="The stream of events."
)
@click.option(
    "--stream-url",
    envvar="ONEBAR_EVENTS__URL",
    show_envvar=True,
    help="The Redis of the stream; without it no stream is searched.",
)
def erase(
    user_id: str,
    store: str,
    key_file: Path | None,
    raw_user_ids: bool,
    events: tuple[Path, ...],
    spool: Path | None,
    stream: str,
    stream_url: str | None,
) -> None:
    """Remove a person: history and shown list from the store, events from files, spool and stream.

    USER_ID is the id that callers send, or a pseudonym out of an event. It can be run again at any time. The next load
    brings a history back unless the person is removed from the source tables first.

    \b
    Example:
      onebar erase u1 --store redis://localhost:6379/0 --user-key users.key --spool /var/spool/onebar \\
        --events events.jsonl --stream-url redis://events.internal:6379/0
    """
    ring = open_key_ring(key_file, raw_user_ids=raw_user_ids)
    names = {user_id, *(ring.from_here(user_id) if ring else ())}
    records = open_user_records(store)
    try:
        histories, shown = erase_records(records, names)
    finally:
        records.close()
    lines = [f"store: {histories} histories and {shown} shown lists removed"]
    paths = (*events, spool) if spool else events
    lines += [f"{path}: {erase_events(path, names)} events removed" for path in paths]
    if stream_url:
        lines.append(f"stream {stream}: {erase_stream(stream_url, stream, names)} events removed")
    click.echo("\n".join(lines))
