"""`onebar evidence publish` and `onebar evidence restore`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import click
from tqdm import tqdm

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
from feature_store.errors import PublishError
from feature_store.loader import BadRows
from feature_store.privacy_cli import key_options
from feature_store.pseudonym import open_key_ring
from feature_store.publish.journal import Journal, JournalBusy
from feature_store.publish.opening import content_of, journal_for, journal_of, open_target, published_sources
from feature_store.publish.pace import Pace
from feature_store.publish.preview import preview
from feature_store.publish.publication import PublishSettings
from feature_store.publish.publication import publish as publish_sources
from feature_store.publish.report import OUTCOMES, PublishReport
from feature_store.publish.restoration import restore as restore_publication
from feature_store.publish.target import Target
from feature_store.rows import Kind, RowOptions
from feature_store.vectors import VectorType

_MIN_BYTES_PER_SECOND = 10_000  # the largest record then takes half the life of a lease

_rows_option = click.option(
    "--rows-per-second", type=click.IntRange(min=1), help="Records a second, at most.  [default: no limit]"
)
_bytes_option = click.option(
    "--bytes-per-second",
    type=click.IntRange(min=_MIN_BYTES_PER_SECOND),
    help="Bytes of changed records a second, at most.  [default: no limit]",
)
_verify_option = click.option(
    "--verify", "sample", type=click.IntRange(min=0), default=1000, show_default=True, help="Records to read back."
)
_journal_option = click.option(
    "--journal",
    "journal_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file that restoring needs.  [default: in PATH, or beside it where it is a file]",
)


@click.command()
@path_argument
@store_option
@click.option("--kind", type=click.Choice(["photos", "users"]), help="Publish only this kind of PATH's files.")
@click.option("--dry-run", is_flag=True, help="Count what would change, and write nothing.")
@_rows_option
@_bytes_option
@_verify_option
@click.option(
    "--max-removed",
    type=click.FloatRange(0, 1),
    default=PublishSettings().max_removed,
    show_default=True,
    help="Largest share of the published records that may be removed.",
)
@_journal_option
@ttl_option
@vectors_option
@key_options
@errors_option
@strict_option
def publish(
    path: Path,
    store: str,
    kind: Kind | None,
    dry_run: bool,
    rows_per_second: int | None,
    bytes_per_second: int | None,
    sample: int,
    max_removed: float,
    journal_path: Path | None,
    ttl_days: float,
    vectors: VectorType,
    key_file: Path | None,
    raw_user_ids: bool,
    errors_file: Path | None,
    strict: bool,
) -> None:
    """Make a store equal to PATH: write the fields that differ, remove the videos and users that are gone.

    PATH is a file, or a folder with evidence.* and users.* (Parquet, JSON Lines, gzipped or not). A publication that
    was stopped continues when the command is run again. `onebar evidence restore` undoes the last one.

    \b
    Examples:
      onebar evidence publish build --store redis://localhost:6379/0 --user-key users.key --dry-run
      onebar evidence publish build/evidence.parquet --store rediss+cluster://:PASSWORD@redis.internal:6379
      onebar evidence publish build --kind photos --rows-per-second 5000
    """
    sources = published_sources(path, kind)
    key_ring = None
    if any(source.kind == "users" for source in sources):
        key_ring = open_key_ring(key_file, raw_user_ids=raw_user_ids)
        if not ttl_days:
            raise click.UsageError("users must expire: give --ttl-days a value over 0")
    warn_of_url(store)
    put_aside = errors_path(path, errors_file)
    row_options = RowOptions(time.time_ns() // 1_000_000, vectors, key_ring)
    pace = Pace(rows_per_second, bytes_per_second)
    with (
        closing(open_target(store, round(ttl_days * 86_400), makes_file=not dry_run)) as target,
        progress_bars() as progress,
        BadRows(put_aside) as bad_rows,
    ):
        before = json.loads(target.state().get("embedding_versions", "{}"))
        if dry_run:
            report = preview(sources, target, row_options, pace=pace, bad_rows=bad_rows, progress=progress)
        else:
            with _open_journal(target, path, store, journal_path) as journal:
                report = publish_sources(
                    sources,
                    target,
                    journal,
                    row_options,
                    content_of(sources, vectors, key_ring.names[-1] if key_ring else ""),
                    settings=PublishSettings(sample, max_removed),
                    pace=pace,
                    bad_rows=bad_rows,
                    progress=progress,
                )
    _print(report, dry_run)
    _compare_embedders(before, report.embedding_versions)
    conclude(report.loaded, strict, put_aside)


def _open_journal(target: Target, path: Path, store: str, chosen: Path | None) -> Journal:
    state = target.state()
    default, warning = journal_for(path, store, state)
    if warning and chosen is None:
        click.echo(f"Warning: {warning}", err=True)
    try:
        return Journal(chosen or default)
    except JournalBusy as error:
        who = f": {state['holder']}, since {state['since']}" if "holder" in state else ""
        raise PublishError(f"{error}{who}") from error


def _print(report: PublishReport, is_dry: bool) -> None:
    for kind, counts in report.counts.items():
        words = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES)
        click.echo(f"{kind}: {words}{' (dry run: nothing was written)' if is_dry else ''}")
    if report.changed_fields:
        click.echo(f"fields changed: {', '.join(f'{n} {name}' for name, n in report.changed_fields.most_common())}")
    if report.embedding_versions:
        versions = ", ".join(f"{name} ({n:,})" for name, n in report.embedding_versions.most_common())
        click.echo(f"embeddings by version of the embedder: {versions}")
    if report.continued_from:
        click.echo(f"continued after row {report.continued_from:,}")
    click.echo(f"{report.bytes_written:,} bytes {'to write' if is_dry else 'written'}; {report.seconds:.1f} s")
    if report.read_back:
        click.echo(f"{report.read_back:,} records read back: all are as published")


def _compare_embedders(before: Mapping[str, int], now: Mapping[str, int]) -> None:
    if len(now) > 1:
        click.echo("Warning: a service uses the embeddings of one version only, and ignores the others", err=True)
    if before and now and set(before) != set(now):
        click.echo(
            f"Warning: the embedder has changed from {', '.join(before)} to {', '.join(now)}: services with another"
            " version leave out the personal part (degraded: embedding_version)",
            err=True,
        )


@click.command()
@store_option
@_journal_option
@_rows_option
@_bytes_option
@_verify_option
@ttl_option
def restore(
    store: str,
    journal_path: Path | None,
    rows_per_second: int | None,
    bytes_per_second: int | None,
    sample: int,
    ttl_days: float,
) -> None:
    """Undo the last publication: videos become what they were before it. Users stay as they are.

    It works once, until the next publication begins, on the machine that published (or with its journal).

    \b
    Examples:
      onebar evidence restore --store redis://localhost:6379/0
      onebar evidence restore --store "$STORE" --journal /backup/publication-0f3a91c2.journal
    """
    warn_of_url(store)
    with closing(open_target(store, round(ttl_days * 86_400), makes_file=False)) as target:
        path = journal_path or journal_of(target.state(), target.shown)
        if not path.is_file():
            raise PublishError(f"{path} is not there: name the journal of the last publication")
        with Journal(path) as journal, tqdm(total=len(journal), unit="record", unit_scale=True) as bar:
            pace = Pace(rows_per_second, bytes_per_second)
            report = restore_publication(target, journal, sample=sample, pace=pace, progress=bar.update)
    undone = report.undone
    click.echo(
        f"{undone['changed']:,} changed and {undone['removed']:,} removed videos are as they were,"
        f" {undone['new']:,} new ones are gone; {report.seconds:.1f} s"
    )
    click.echo(f"{report.read_back:,} records read back: all are as they were")
