"""`onebar evidence`: publish, load, check and show evidence. `publish.cli` has `publish` and `restore`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from feature_store.cli_options import (
    conclude,
    errors_option,
    errors_path,
    path_argument,
    progress_bars,
    store_option,
    strict_option,
    ttl_option,
    vectors_option,
    warn_of_url,
)
from feature_store.files import Source
from feature_store.loader import BadRows, LoadReport, open_sources
from feature_store.loader import load as load_sources
from feature_store.privacy_cli import key_options
from feature_store.pseudonym import KeyRing, open_key_ring
from feature_store.publish import open_writer
from feature_store.publish.cli import publish, restore
from feature_store.records import PhotoRecord, UserRecord
from feature_store.rows import Kind
from feature_store.settings import StoreSettings
from feature_store.store import open_store
from feature_store.vectors import VectorType
from feature_store.writes import Writer

_PATIENT = StoreSettings(
    timeout_seconds=2.0, socket_timeout_seconds=2.0, connect_timeout_seconds=2.0, warm_connections=1
)

_kind_option = click.option(
    "--kind",
    type=click.Choice(["photos", "users"]),
    help="What the rows are; by default found from their columns.",
)


@click.group()
def evidence() -> None:
    """Evidence of videos and histories of users: publish, restore, load, check, show."""


@evidence.command()
@path_argument
@store_option
@_kind_option
@ttl_option
@vectors_option
@key_options
@errors_option
@strict_option
def load(
    path: Path,
    store: str,
    kind: Kind | None,
    ttl_days: float,
    vectors: VectorType,
    key_file: Path | None,
    raw_user_ids: bool,
    errors_file: Path | None,
    strict: bool,
) -> None:
    """Load PATH (Parquet, JSON Lines, gzipped JSON Lines, or a folder of them) into a store.

    A column that a file does not have leaves the stored field as it is, so that a job may refresh anchors alone. Bad
    rows are counted and written to --errors-file; loading a file again is always safe.

    \b
    Examples:
      onebar evidence load evidence.parquet
      onebar evidence load users.jsonl.gz --store redis://localhost:6379/0 --user-key users.key
      onebar evidence load anchors_of_today/ --store rediss+cluster://:PASSWORD@redis.internal:6379
    """
    sources = open_sources(path, kind)
    key_ring = None
    if any(source.kind == "users" for source in sources):
        key_ring = open_key_ring(key_file, raw_user_ids=raw_user_ids)
        if not ttl_days:
            raise click.UsageError("users must expire: give --ttl-days a value over 0")
    warn_of_url(store)
    writer = open_writer(store, round(ttl_days * 86_400))
    try:
        report = _run(sources, writer, vectors, key_ring, errors_path(path, errors_file))
    finally:
        writer.close()
    _conclude(report, "written", strict, errors_path(path, errors_file))


@evidence.command()
@path_argument
@_kind_option
@errors_option
@strict_option
def check(path: Path, kind: Kind | None, errors_file: Path | None, strict: bool) -> None:
    """Check PATH as `load` would, and write nothing.

    \b
    Example:
      onebar evidence check evidence.parquet --strict
    """
    report = _run(open_sources(path, kind), None, "fp16", None, errors_path(path, errors_file))
    _conclude(report, "good", strict, errors_path(path, errors_file))


@evidence.command()
@click.argument("photo_id", required=False)
@click.option("--user", "user_id", help="A user, instead of the video or beside it.")
@store_option
@key_options
def show(photo_id: str | None, user_id: str | None, store: str, key_file: Path | None, raw_user_ids: bool) -> None:
    """Show what is stored of PHOTO_ID and of a user, as JSON. ID is a user id, or a pseudonym out of an event.

    \b
    Examples:
      onebar evidence show p1
      onebar evidence show p1 --user u1 --store redis://localhost:6379/0 --user-key users.key
    """
    if photo_id is None and user_id is None:
        raise click.UsageError("name a PHOTO_ID, or --user ID, or both")
    if user_id is not None:
        key_ring = open_key_ring(key_file, raw_user_ids=raw_user_ids)
        user_id = (key_ring.current(user_id) or user_id) if key_ring else user_id
    warn_of_url(store)
    answer = asyncio.run(_fetch(store, photo_id, user_id))
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    if answer.get("photo") is None and answer.get("user") is None:
        raise click.exceptions.Exit(1)


async def _fetch(url: str, photo_id: str | None, user_id: str | None) -> dict[str, Any]:
    store = await open_store(url, _PATIENT)
    try:
        await store.ping()  # says in words why it does not answer, which fetch does not
        found = await store.fetch(photo_id, user_id, want_shown=True)
    finally:
        await store.close()
    answer: dict[str, Any] = {}
    if photo_id is not None:
        answer["photo"] = found.photo and _photo_as_json(found.photo)
    if user_id is not None:
        answer["user"] = found.user and _user_as_json(found.user)
        answer["shown"] = [{"query": query, "shown_at": _when(at)} for query, at in found.shown]
    answer["degraded"] = list(found.degraded)
    return answer


def _photo_as_json(photo: PhotoRecord) -> dict[str, Any]:
    return {
        **asdict(photo.raw),
        "summary": photo.summary,
        "anchors": photo.anchors,
        "histories": photo.histories,
        "category": photo.category,
        "embedding": None if photo.embedding is None else f"float32[{len(photo.embedding)}]",
        "embedding_version": photo.embedding_version,
        "updated_at": {name: _when(at) for name, at in photo.updated_at.items()},
    }


def _user_as_json(user: UserRecord) -> dict[str, Any]:
    return {
        "queries": user.queries,
        "embeddings": None if user.embeddings is None else f"float32{list(user.embeddings.shape)}",
        "embedding_version": user.embedding_version,
        "updated_at": None if user.updated_at is None else _when(user.updated_at),
    }


def _when(milliseconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))
    except (OverflowError, OSError, ValueError):
        return str(milliseconds)


def _run(
    sources: Sequence[Source],
    writer: Writer | None,
    vectors: VectorType,
    key_ring: KeyRing | None,
    put_aside: Path,
) -> LoadReport:
    with progress_bars() as progress, BadRows(put_aside) as bad_rows:
        return load_sources(
            sources, writer, vector_type=vectors, key_ring=key_ring, bad_rows=bad_rows, progress=progress
        )


def _conclude(report: LoadReport, done: str, strict: bool, put_aside: Path) -> None:
    kinds = " and ".join(report.kinds) or "rows"
    rate = report.written / report.seconds if report.seconds else 0.0
    click.echo(f"{report.written:,} of {report.rows:,} {kinds} {done} in {report.seconds:.1f} s ({rate:,.0f}/s)")
    conclude(report, strict, put_aside)


evidence.add_command(publish)
evidence.add_command(restore)
