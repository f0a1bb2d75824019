"""`onebar offline`: from log tables to evidence, user histories and training examples."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from evidence.errors import EvidenceError
from offline.errors import OfflineError
from offline.evidence_rows import evidence_table, user_table, without_embeddings, write_rows
from offline.examples import ExampleSettings, write_examples
from offline.prepare import Prepared, prepare
from offline.report import describe
from offline.safety_labels import label_videos, read_terms

_DATASET = click.argument("dataset", type=click.Path(exists=True, file_okay=False, path_type=Path))
_DEFAULTS = ExampleSettings()
_OUT_FILE = click.argument("out", type=click.Path(dir_okay=False, path_type=Path))


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that `evidence` and `users` have in common."""
    day = click.option(
        "--as-of-day", type=int, help="Use only days before this one. Default: the day after the last log day."
    )
    plain = click.option("--no-embeddings", is_flag=True, help="Leave the vectors out; files are five times smaller.")
    return day(plain(command))


@click.group()
def offline() -> None:
    """Make evidence, user histories and training examples from log tables (docs/data_formats.md).

    \b
    onebar offline evidence build/world build/evidence.parquet
    onebar offline users    build/world build/users.parquet
    onebar offline examples build/world build/examples
    """


@offline.command()
@_DATASET
@_OUT_FILE
@_shared
def evidence(dataset: Path, out: Path, as_of_day: int | None, no_embeddings: bool) -> None:
    """Write one evidence row for each video of DATASET to OUT (.parquet or .jsonl.gz).

    \b
    onebar offline evidence build/world build/evidence.jsonl.gz --as-of-day 11
    onebar evidence load build/evidence.jsonl.gz
    """
    prepared = _prepare(dataset)
    table = _told(evidence_table, prepared, _day(prepared, as_of_day))
    _told(write_rows, without_embeddings(table) if no_embeddings else table, out)
    click.echo(f"{table.num_rows:,} videos written to {out}")


@offline.command()
@_DATASET
@_OUT_FILE
@_shared
def users(dataset: Path, out: Path, as_of_day: int | None, no_embeddings: bool) -> None:
    """Write the past queries of each user of DATASET to OUT (.parquet or .jsonl.gz).

    \b
    onebar offline users build/world build/users.parquet
    onebar evidence load build/users.parquet
    """
    prepared = _prepare(dataset)
    table = _told(user_table, prepared, _day(prepared, as_of_day))
    _told(write_rows, without_embeddings(table) if no_embeddings else table, out)
    click.echo(f"{table.num_rows:,} users written to {out}")


@offline.command()
@_DATASET
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--terms",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Prohibited terms, category<TAB>term lines. Default: prohibited_terms.tsv in DATASET.",
)
@click.option("--first-day", default=_DEFAULTS.first_day, show_default=True, help="First day that gives examples.")
@click.option(
    "--reject-rate", default=_DEFAULTS.reject_rate, show_default=True, help="[REJECT] examples per click, at most."
)
@click.option("--seed", default=_DEFAULTS.seed, show_default=True, help="Which impressions become [REJECT] examples.")
def examples(dataset: Path, out: Path, terms: Path | None, first_day: int, reject_rate: float, seed: int) -> None:
    """Write training, validation and test examples of DATASET into the folder OUT.

    The last day is the test, the day before it the validation. Every example has the evidence of its own day.

    \b
    onebar offline examples build/world build/examples
    onebar train sft --examples build/examples ...
    """
    begun = time.perf_counter()
    prepared = _prepare(dataset)
    labels = label_videos(prepared.logs, _told(read_terms, dataset, terms))
    settings = ExampleSettings(first_day, reject_rate, seed)
    _told(write_examples, prepared, labels, settings, out, show_progress=True)
    report = describe(out, prepared, labels, settings, time.perf_counter() - begun)
    (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    click.echo(report.to_text())


def _prepare(dataset: Path) -> Prepared:
    prepared: Prepared = _told(prepare, dataset, show_progress=True)
    for table, rows in prepared.logs.unknown.items():
        if rows:
            click.echo(f"{rows:,} {table} left out: their video, user or impression is in no table", err=True)
    return prepared


def _day(prepared: Prepared, as_of_day: int | None) -> int:
    return prepared.logs.last_day + 1 if as_of_day is None else as_of_day


def _told(job: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Runs a job; what its user can mend is told as one sentence, not as a traceback."""
    try:
        return job(*args, **options)
    except (OfflineError, EvidenceError) as error:
        raise click.ClickException(str(error)) from error
