"""`onebar offline`: from log tables to an embedder, evidence, user histories and training examples."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from offline.embedder.folder import load_embedder
from offline.evidence.embedded_logs import EmbeddedLogs, embed_logs
from offline.evidence.examples import ExampleSettings, write_examples
from offline.evidence.examples_report import describe
from offline.evidence.safety_labels import label_videos, read_terms
from offline.evidence.store_rows import evidence_table, user_table, without_embeddings, write_rows
from offline.summaries.command import summaries

_LOGS = click.argument("logs", type=click.Path(exists=True, file_okay=False, path_type=Path))
_DEFAULTS = ExampleSettings()
_EMBEDDER = click.option(
    "--embedder",
    "embedder_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of `onebar offline embedder`. Default: the hashed embedder.",
)
_OUT_FILE = click.argument("out", type=click.Path(dir_okay=False, path_type=Path))


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

    \b
    onebar offline embedder logs build/embedder
    onebar offline examples logs build/examples
    onebar offline evidence logs build/evidence.parquet
    onebar offline users    logs build/users.parquet
    """


offline.add_command(summaries)


@offline.command()
@_LOGS
@_OUT_FILE
@_shared
def evidence(logs: Path, out: Path, as_of_day: int | None, no_embeddings: bool, embedder_folder: Path | None) -> None:
    """Write one evidence row for each video of LOGS to OUT (.parquet or .jsonl.gz).

    \b
    onebar offline evidence logs build/evidence.parquet
    onebar evidence load build/evidence.parquet --store redis://localhost:6379/0
    """
    embedded = _embed(logs, embedder_folder)
    table = evidence_table(embedded, _day(embedded, as_of_day))
    write_rows(without_embeddings(table) if no_embeddings else table, out)
    click.echo(f"{table.num_rows:,} videos written to {out}")


@offline.command()
@_LOGS
@_OUT_FILE
@_shared
def users(logs: Path, out: Path, as_of_day: int | None, no_embeddings: bool, embedder_folder: Path | None) -> None:
    """Write the past queries of each user of LOGS to OUT (.parquet or .jsonl.gz).

    \b
    onebar offline users logs build/users.parquet
    onebar evidence load build/users.parquet --store redis://localhost:6379/0
    """
    embedded = _embed(logs, embedder_folder)
    table = user_table(embedded, _day(embedded, as_of_day))
    write_rows(without_embeddings(table) if no_embeddings else table, out)
    click.echo(f"{table.num_rows:,} users written to {out}")


@offline.command()
@_LOGS
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--terms",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Prohibited terms, category<TAB>term lines. Default: prohibited_terms.tsv in LOGS.",
)
@click.option("--first-day", default=_DEFAULTS.first_day, show_default=True, help="First day that gives examples.")
@click.option(
    "--reject-rate", default=_DEFAULTS.reject_rate, show_default=True, help="[REJECT] examples per click, at most."
)
@click.option("--seed", default=_DEFAULTS.seed, show_default=True, help="Which impressions become [REJECT] examples.")
@_EMBEDDER
def examples(
    logs: Path,
    out: Path,
    terms: Path | None,
    first_day: int,
    reject_rate: float,
    seed: int,
    embedder_folder: Path | None,
) -> None:
    """Write training, validation and test examples of LOGS into the folder OUT.

    The last day is the test, the day before it the validation. Every example has the evidence of its own day.

    \b
    onebar offline examples logs build/examples
    onebar train sft build/examples build/checkpoint --init-from build/pretrained
    """
    begun = time.perf_counter()
    embedded = _embed(logs, embedder_folder)
    labels = label_videos(embedded.logs, read_terms(logs, terms))
    settings = ExampleSettings(first_day, reject_rate, seed)
    write_examples(embedded, labels, settings, out, show_progress=True)
    report = describe(out, embedded, labels, settings, time.perf_counter() - begun)
    (out / "report.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    click.echo(report.to_text())


@offline.command()
@_LOGS
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--dimension", type=click.IntRange(8, 1024), default=256, show_default=True, help="Of a vector.")
@click.option(
    "--vocabulary-size", type=click.IntRange(512, 1 << 17), default=8192, show_default=True, help="Tokens, at most."
)
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Fine-tune this local model of sentence-transformers instead of training the static kind.",
)
@click.option("--query-prompt", default="", help="What --model reads before each query.")
@click.option("--frozen", is_flag=True, help="Use --model as it is.")
@click.option("--batch-size", type=click.IntRange(2), help="Pairs of a step. Default: 512, with --model 64.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Default: 0.02, with --model 2e-5.")
@click.option("--max-steps", type=click.IntRange(1), default=1_000_000, help="The most steps of a stage.")
@click.option(
    "--hard-negatives", is_flag=True, help="Queries that were shown on a video and not clicked are negatives."
)
@click.option("--seed", default=0, show_default=True, help="Of the first vectors and the order of pairs.")
@click.option("--all-days", is_flag=True, help="After the report, train again on all days, with the settings tuned.")
def embedder(
    logs: Path,
    out: Path,
    dimension: int,
    vocabulary_size: int,
    model: Path | None,
    query_prompt: str,
    frozen: bool,
    batch_size: int | None,
    learning_rate: float | None,
    max_steps: int,
    hard_negatives: bool,
    seed: int,
    all_days: bool,
) -> None:
    """Train the embedder on the searches and clicks of LOGS, and write its folder OUT (docs/embedder.md).

    The last day is the test, the day before it the validation, as for examples. OUT/report.json has recall and MRR by
    stage and relation, hit rates of anchors, and the settings that were tried.

    \b
    onebar offline embedder logs build/embedder
    onebar offline evidence logs build/evidence.parquet --embedder build/embedder
    onebar offline embedder logs build/embedder --model models/all-MiniLM-L6-v2 --frozen
    """
    if model is None and (query_prompt or frozen):
        raise click.UsageError("--query-prompt and --frozen need --model")
    try:
        from offline.embedder.training import TrainingSettings
        from offline.train_embedder import StartModel, train_embedder
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"`onebar offline embedder` needs the package {error.name!r}; install it with: pip install -e '.[embedder]'"
        ) from error
    dimensions = tuple(dict.fromkeys(max(8, dimension // part) for part in (1, 2, 4)))
    settings = TrainingSettings(
        dimensions=dimensions,
        vocabulary_size=vocabulary_size,
        batch_size=batch_size or (512 if model is None else 64),
        learning_rate=learning_rate or (0.02 if model is None else 2e-5),
        max_steps=max_steps,
        seed=seed,
    )
    start = None if model is None else StartModel(model, query_prompt, frozen)
    train_embedder(logs, out, settings, start, all_days=all_days, with_unclicked=hard_negatives, say=click.echo)


def _embed(folder: Path, embedder_folder: Path | None) -> EmbeddedLogs:
    embedded = embed_logs(folder, embedder=load_embedder(embedder_folder), show_progress=True)
    for table, rows in embedded.logs.unknown.items():
        if rows:
            click.echo(f"{rows:,} {table} left out: their video, user or impression is in no table", err=True)
    return embedded


def _day(embedded: EmbeddedLogs, as_of_day: int | None) -> int:
    return embedded.logs.last_day + 1 if as_of_day is None else as_of_day
