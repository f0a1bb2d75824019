"""`onebar evidence`: put evidence into a store, check it, look at it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from feature_store.files import Source
from feature_store.loader import BadRows, LoadReport, open_sources
from feature_store.loader import load as load_sources
from feature_store.privacy_cli import key_options
from feature_store.pseudonym import KeyRing, open_key_ring
from feature_store.publish import open_writer
from feature_store.records import PhotoRecord, UserRecord
from feature_store.redis_urls import url_warnings
from feature_store.rows import Kind
from feature_store.schemes import STORE_URLS
from feature_store.settings import StoreSettings
from feature_store.store import open_store
from feature_store.vectors import VectorType
from feature_store.writes import Writer

_SHOWN_REASONS = 10
_PATIENT = StoreSettings(
    timeout_seconds=2.0, socket_timeout_seconds=2.0, connect_timeout_seconds=2.0, warm_connections=1
)

_store_option = click.option(
    "--store",
    default="sqlite:///evidence.db",
    envvar="ONEBAR_STORE__URL",
    show_default=True,
    show_envvar=True,
    help=STORE_URLS,
)
_kind_option = click.option(
    "--kind",
    type=click.Choice(["photos", "users"]),
    help="What the rows are; by default found from their columns.",
)
_errors_option = click.option(
    "--errors-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where bad rows go, with the reason, as JSON Lines.  [default: PATH.errors.jsonl]",
)
_strict_option = click.option("--strict", is_flag=True, help="Fail (exit code 1) if a single row is bad.")
_path_argument = click.argument("path", type=click.Path(exists=True, path_type=Path))


@click.group()
def evidence() -> None:
    """Evidence of videos and histories of users: load, check, show."""


@evidence.command()
@_path_argument
@_store_option
@_kind_option
@click.option(
    "--ttl-days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Life of each record from this write on; 0 is without end (videos only). All writers must use one value.",
)
@click.option(
    "--vectors",
    type=click.Choice(["fp16", "int8"]),
    default="fp16",
    show_default=True,
    help="How embeddings are kept.",
)
@key_options
@_errors_option
@_strict_option
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
    _warn(store)
    writer = open_writer(store, round(ttl_days * 86_400))
    try:
        report = _run(sources, writer, vectors, key_ring, _errors_path(path, errors_file))
    finally:
        writer.close()
    _conclude(report, "written", strict, path, errors_file)


@evidence.command()
@_path_argument
@_kind_option
@_errors_option
@_strict_option
def check(path: Path, kind: Kind | None, errors_file: Path | None, strict: bool) -> None:
    """Check PATH as `load` would, and write nothing.

    \b
    Example:
      onebar evidence check evidence.parquet --strict
    """
    report = _run(open_sources(path, kind), None, "fp16", None, _errors_path(path, errors_file))
    _conclude(report, "good", strict, path, errors_file)


@evidence.command()
@click.argument("photo_id", required=False)
@click.option("--user", "user_id", help="A user, instead of the video or beside it.")
@_store_option
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
    _warn(store)
    answer = asyncio.run(_fetch(store, photo_id, user_id))
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    if answer.get("photo") is None and answer.get("user") is None:
        raise click.exceptions.Exit(1)


def _warn(url: str) -> None:
    for warning in url_warnings(url):
        click.echo(f"Warning: {warning}", err=True)


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


def _errors_path(path: Path, errors_file: Path | None) -> Path:
    return errors_file or path.with_name(f"{path.name}.errors.jsonl")


def _run(
    sources: Sequence[Source],
    writer: Writer | None,
    vectors: VectorType,
    key_ring: KeyRing | None,
    errors_path: Path,
) -> LoadReport:
    bars: dict[Path, tqdm[Any]] = {}

    def progress(source: Source, position: int) -> None:
        if source.path not in bars:
            is_rows = source.path.suffix == ".parquet"
            bars[source.path] = tqdm(
                total=source.size, desc=source.path.name, unit="row" if is_rows else "B", unit_scale=True
            )
        bars[source.path].update(position - bars[source.path].n)

    try:
        with BadRows(errors_path) as bad_rows:
            return load_sources(
                sources, writer, vector_type=vectors, key_ring=key_ring, bad_rows=bad_rows, progress=progress
            )
    finally:
        for bar in bars.values():
            bar.close()


def _conclude(report: LoadReport, done: str, strict: bool, path: Path, errors_file: Path | None) -> None:
    kinds = " and ".join(report.kinds) or "rows"
    rate = report.written / report.seconds if report.seconds else 0.0
    click.echo(f"{report.written:,} of {report.rows:,} {kinds} {done} in {report.seconds:.1f} s ({rate:,.0f}/s)")
    if report.ignored_columns:
        click.echo(f"columns that are not known, and were ignored: {', '.join(sorted(report.ignored_columns))}")
    if report.bad:
        click.echo(f"{report.bad:,} bad rows are in {_errors_path(path, errors_file)}:", err=True)
        for reason, count in report.reasons.most_common(_SHOWN_REASONS):
            click.echo(f"  {count:>8,}  {reason}", err=True)
        if len(report.reasons) > _SHOWN_REASONS:
            click.echo(f"  … and {len(report.reasons) - _SHOWN_REASONS} other reasons", err=True)
    if not report.written or (strict and report.bad):
        raise click.exceptions.Exit(1)
