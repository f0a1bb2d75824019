"""Options, progress bars and messages that the commands of `onebar evidence` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from feature_store.files import Source
from feature_store.loader import LoadReport, Progress
from feature_store.redis_urls import url_warnings
from feature_store.schemes import STORE_URLS

_SHOWN_REASONS = 10

store_option = click.option(
    "--store",
    default="sqlite:///evidence.db",
    envvar="ONEBAR_STORE__URL",
    show_default=True,
    show_envvar=True,
    help=STORE_URLS,
)
errors_option = click.option(
    "--errors-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where bad rows go, with the reason, as JSON Lines.  [default: PATH.errors.jsonl]",
)
strict_option = click.option("--strict", is_flag=True, help="Fail (exit code 1) if a single row is bad.")
path_argument = click.argument("path", type=click.Path(exists=True, path_type=Path))
ttl_option = click.option(
    "--ttl-days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Life of each record from this write on; 0 is without end (videos only). All writers must use one value.",
)
vectors_option = click.option(
    "--vectors",
    type=click.Choice(["fp16", "int8"]),
    default="fp16",
    show_default=True,
    help="How embeddings are kept.",
)


def warn_of_url(url: str) -> None:
    """Print what is unsafe in a store's URL."""
    for warning in url_warnings(url):
        click.echo(f"Warning: {warning}", err=True)


def errors_path(path: Path, errors_file: Path | None) -> Path:
    """Return where bad rows of a path go."""
    return errors_file or path.with_name(f"{path.name}.errors.jsonl")


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Give a function that shows how far each file is read."""
    bars: dict[Path, tqdm[Any]] = {}

    def progress(source: Source, position: int) -> None:
        if source.path not in bars:
            is_rows = source.path.suffix == ".parquet"
            bars[source.path] = tqdm(
                total=source.size, desc=source.path.name, unit="row" if is_rows else "B", unit_scale=True
            )
        bars[source.path].update(position - bars[source.path].n)

    try:
        yield progress
    finally:
        for bar in bars.values():
            bar.close()


def conclude(report: LoadReport, strict: bool, put_aside: Path) -> None:
    """Print what was wrong with rows and columns.

    Raises:
        click.exceptions.Exit: no row was good, or one was bad under `strict`; the status is 1.
    """
    if report.ignored_columns:
        click.echo(f"columns that are not known, and were ignored: {', '.join(sorted(report.ignored_columns))}")
    if report.bad:
        click.echo(f"{report.bad:,} bad rows are in {put_aside}:", err=True)
        for reason, count in report.reasons.most_common(_SHOWN_REASONS):
            click.echo(f"  {count:>8,}  {reason}", err=True)
        if len(report.reasons) > _SHOWN_REASONS:
            click.echo(f"  … and {len(report.reasons) - _SHOWN_REASONS} other reasons", err=True)
    if not report.written or (strict and report.bad):
        raise click.exceptions.Exit(1)
