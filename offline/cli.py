"""`onebar offline`: from log tables to an embedder, evidence, user histories and training examples."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from offline.build.command import build
from offline.cli_options import Source, reads_logs
from offline.embedder.folder import load_embedder
from offline.embedder.held_out import check_held_out
from offline.embedder_command import embedder
from offline.evidence.behaviour_lists import write_lists
from offline.evidence.embedded_logs import EmbeddedLogs, embed_logs
from offline.evidence.examples import ExampleSettings, write_examples
from offline.evidence.examples_report import describe
from offline.evidence.list_candidates import ListSettings
from offline.evidence.lists_report import ListsReport
from offline.evidence.safety_labels import label_videos, read_terms
from offline.evidence.store_rows import evidence_parts, user_parts, without_embeddings, write_rows
from offline.logs.intake import TableCount, read_logs
from offline.summaries.command import summaries

_DEFAULTS = ExampleSettings()
_LISTS = ListSettings()
_EMBEDDER = click.option(
    "--embedder",
    "embedder_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of `onebar offline embedder`. Default: the hashed embedder.",
)
_OUT_FILE = click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
_OUT_FOLDER = click.argument("out", type=click.Path(file_okay=False, path_type=Path))
_TERMS = click.option(
    "--terms",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Prohibited terms, category<TAB>term lines. Default: prohibited_terms.tsv in LOGS.",
)


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `evidence` and `users` have in common."""
    day = click.option(
        "--as-of-day", type=int, help="Use only days before this one. Default: the day after the last log day."
    )
    plain = click.option("--no-embeddings", is_flag=True, help="Leave the vectors out; files are five times smaller.")
    return day(plain(_EMBEDDER(command)))


@click.group()
def offline() -> None:
    """Make an embedder, evidence, user histories and training examples from log tables (docs/data_formats.md).

    LOGS is a folder of tables, or a URL such as s3://bucket/logs.

    \b
    onebar offline build logs build
    onebar offline validate logs
    onebar offline embedder logs build/embedder
    onebar offline examples logs build/examples
    onebar offline lists    logs build/lists
    onebar offline evidence logs build/evidence.parquet
    onebar offline users    logs build/users.parquet
    """


offline.add_command(build)
offline.add_command(embedder)
offline.add_command(summaries)


@offline.command()
@reads_logs
def validate(source: Source) -> None:
    """Check the tables of LOGS, and set bad rows aside with their faults.

    \b
    onebar offline validate logs
    onebar offline validate s3://bucket/logs --set-aside bad --max-bad-share 0.05
    """
    intake = read_logs(source.dataset, source.engine, source.settings)
    for name, count in intake.counts.items():
        click.echo(f"{name:<14} {count.rows:>14,} rows")
    _report_bad(intake.counts)


@offline.command()
@reads_logs
@_OUT_FILE
@_shared
def evidence(
    source: Source, out: Path, as_of_day: int | None, no_embeddings: bool, embedder_folder: Path | None
) -> None:
    """Write one evidence row for each video of LOGS to OUT (.parquet or .jsonl.gz).

    \b
    onebar offline evidence logs build/evidence.parquet
    onebar evidence load build/evidence.parquet --store redis://localhost:6379/0
    """
    embedded = _embed(source, embedder_folder)
    parts = evidence_parts(embedded, _day(embedded, as_of_day))
    count = write_rows(map(without_embeddings, parts) if no_embeddings else parts, out)
    click.echo(f"{count:,} videos written to {out}")


@offline.command()
@reads_logs
@_OUT_FILE
@_shared
def users(source: Source, out: Path, as_of_day: int | None, no_embeddings: bool, embedder_folder: Path | None) -> None:
    """Write the past queries of each user of LOGS to OUT (.parquet or .jsonl.gz).

    \b
    onebar offline users logs build/users.parquet
    onebar evidence load build/users.parquet --store redis://localhost:6379/0
    """
    embedded = _embed(source, embedder_folder)
    parts = user_parts(embedded, _day(embedded, as_of_day))
    count = write_rows(map(without_embeddings, parts) if no_embeddings else parts, out)
    click.echo(f"{count:,} users written to {out}")


@offline.command()
@reads_logs
@_OUT_FOLDER
@_TERMS
@click.option("--first-day", default=_DEFAULTS.first_day, show_default=True, help="First day that gives examples.")
@click.option(
    "--reject-rate", default=_DEFAULTS.reject_rate, show_default=True, help="[REJECT] examples per click, at most."
)
@click.option("--seed", default=_DEFAULTS.seed, show_default=True, help="Which impressions become [REJECT] examples.")
@_EMBEDDER
def examples(
    source: Source,
    out: Path,
    terms: Path | None,
    first_day: int,
    reject_rate: float,
    seed: int,
    embedder_folder: Path | None,
) -> None:
    """Write training, validation and test examples of LOGS into the folder OUT.

    The last day is the test, the day before it the validation. Every example has the evidence of its own day. An
    embedder that has learnt from the test day (--all-days) is refused.

    \b
    onebar offline examples logs build/examples
    onebar train sft build/examples build/checkpoint --init-from build/pretrained
    """
    begun = time.perf_counter()
    embedded = _embed(source, embedder_folder)
    check_held_out(embedder_folder, embedded.logs.last_day)
    labels = label_videos(embedded.logs, read_terms(Path(source.dataset), terms))
    settings = ExampleSettings(first_day, reject_rate, seed)
    write_examples(embedded, labels, settings, out, show_progress=True)
    report = describe(out, embedded, labels, settings, time.perf_counter() - begun)
    (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    click.echo(report.to_text())


@offline.command()
@reads_logs
@_OUT_FOLDER
@_TERMS
@click.option("--first-day", default=_LISTS.first_day, show_default=True, help="First day that gives lists.")
@_EMBEDDER
def lists(source: Source, out: Path, terms: Path | None, first_day: int, embedder_folder: Path | None) -> None:
    """Write behaviour lists of LOGS for list-wise training into the folder OUT.

    A list has queries of one video for one viewer, best first: clicked by the viewer, clicked by others, exposed,
    retrieved. The last day gives no lists, the day before it those of the validation. An embedder that has learnt from
    the last day (--all-days) is refused.

    \b
    onebar offline lists logs build/lists
    """
    begun = time.perf_counter()
    embedded = _embed(source, embedder_folder)
    check_held_out(embedder_folder, embedded.logs.last_day)
    labels = label_videos(embedded.logs, read_terms(Path(source.dataset), terms))
    settings = ListSettings(first_day)
    counts = write_lists(embedded, labels, settings, out, show_progress=True)
    report = ListsReport.of(counts, embedded, settings, time.perf_counter() - begun)
    (out / "lists_report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    click.echo(report.to_text())


def _embed(source: Source, embedder_folder: Path | None) -> EmbeddedLogs:
    embedded = embed_logs(
        source.dataset,
        embedder=load_embedder(embedder_folder),
        engine=source.engine,
        intake=source.settings,
        show_progress=True,
    )
    _report_bad(embedded.logs.counts)
    if embedded.logs.emptied:
        click.echo(
            f"{embedded.logs.emptied:,} distinct queries are empty after cleaning; their rows are left out", err=True
        )
    return embedded


def _report_bad(counts: Mapping[str, TableCount]) -> None:
    for name, count in counts.items():
        if count.bad:
            click.echo(f"{name}: {count}", err=True)


def _day(embedded: EmbeddedLogs, as_of_day: int | None) -> int:
    return embedded.logs.last_day + 1 if as_of_day is None else as_of_day
