"""`onebar offline build`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from offline.build.errors import BuildError
from offline.build.estimate import check_disk, count_rows, estimate, to_text
from offline.build.graph import execute, plan
from offline.build.lock import locked
from offline.build.manifest import MANIFEST_FILE
from offline.build.plan import BuildChoices, Training, steps_of
from offline.build.summary import SummaryChoices
from offline.cli_options import Source, reads_logs

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_TRAINING = Training()
_SUMMARIES = SummaryChoices()


@click.command()
@reads_logs
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--embedder", "embedder_folder", type=_FOLDER, help="Use this embedder instead of training one.")
@click.option("--hashed", is_flag=True, help="Use the hashed embedder, which needs no training.")
@click.option("--dimension", type=click.IntRange(8, 1024), default=_TRAINING.dimension, show_default=True,
              help="Of a trained vector.")  # fmt: skip
@click.option("--vocabulary-size", type=click.IntRange(512, 1 << 17), default=_TRAINING.vocabulary_size,
              show_default=True, help="Tokens of the trained embedder, at most.")  # fmt: skip
@click.option("--max-steps", type=click.IntRange(1), default=_TRAINING.max_steps, help="The most steps of a stage.")
@click.option("--seed", default=_TRAINING.seed, show_default=True, help="Of the training.")
@click.option("--all-days", is_flag=True, help="Train once more on all days. Not with --examples.")
@click.option("--files", type=_FOLDER, help="Make summaries from the video files of this folder.")
@click.option("--endpoint", help="Make summaries with the multimodal model of this OpenAI-compatible API.")
@click.option("--model", help="The model of the endpoint.")
@click.option("--price", type=(click.FloatRange(min=0), click.FloatRange(min=0)), metavar="IN OUT",
              help="Dollars for a million tokens of prompts and of answers.")  # fmt: skip
@click.option("--max-cost", default=_SUMMARIES.max_cost, show_default=True, type=click.FloatRange(min=0),
              help="Dollars that a build may cost.")  # fmt: skip
@click.option("--as-of-day", type=int, help="Evidence uses the days before it. Default: the day after the last one.")
@click.option("--no-embeddings", is_flag=True, help="Leave the vectors out; files are five times smaller.")
@click.option("--examples", is_flag=True, help="Also write training examples.")
@click.option("--terms", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Prohibited terms. Default: prohibited_terms.tsv in LOGS.")  # fmt: skip
@click.option("--since", type=click.IntRange(1), metavar="DAY",
              help="Days before DAY are those of the build before: keep its trained embedder.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the steps and the estimate, and write nothing.")
def build(
    source: Source,
    out: Path,
    embedder_folder: Path | None,
    hashed: bool,
    dimension: int,
    vocabulary_size: int,
    max_steps: int,
    seed: int,
    all_days: bool,
    files: Path | None,
    endpoint: str | None,
    model: str | None,
    price: tuple[float, float] | None,
    max_cost: float,
    as_of_day: int | None,
    no_embeddings: bool,
    examples: bool,
    terms: Path | None,
    since: int | None,
    dry_run: bool,
) -> None:
    """Make all evidence of LOGS in the folder OUT: embedder, summaries, evidence, users, examples.

    What has not changed since the build before is not made again, also if that build was killed. OUT/manifest.json has
    inputs, versions, counts, seconds and outputs of each step (docs/offline_build.md). The estimate is rough: its rates
    were measured on the demo world, on one core.

    \b
    onebar offline build logs build --dry-run
    onebar offline build logs build
    onebar offline build logs build --since 12
    onebar evidence publish build --store redis://localhost:6379/0 --user-key users.key
    """
    trains = not hashed and embedder_folder is None
    _check_options(embedder_folder, hashed, endpoint, model, price, since, trains=trains)
    if trains and all_days and examples:
        raise click.UsageError("with --all-days the embedder would have seen the test day of --examples; leave one out")
    choices = BuildChoices(
        embedder=embedder_folder,
        training=Training(dimension, vocabulary_size, max_steps, seed, all_days) if trains else None,
        summaries=SummaryChoices(files, endpoint, model, price, max_cost),
        as_of_day=as_of_day,
        embeddings=not no_embeddings,
        examples=examples,
        terms=terms,
        since=since,
    )
    _check_packages(choices)
    if "://" in source.dataset and choices.summaries.wanted:
        raise BuildError("summaries are made from a folder of log tables; copy the table videos, or leave --files out")
    rows = count_rows(source.engine, source.dataset)
    steps = steps_of(source, out, choices, click.echo)
    reasons = plan(steps, out)
    names = (name for name, why in reasons.items() if why)
    costs = estimate(names, rows, with_files=files is not None, memory_limit=source.engine.memory_limit)
    click.echo(to_text(reasons, costs))
    check_disk(out, costs)
    if dry_run:
        return
    with locked(out):
        execute(steps, out, {"logs": source.dataset, "engine": source.engine.backend.name}, click.echo)
    click.echo(f"{out / MANIFEST_FILE} says what was made of what")


def _check_options(
    embedder_folder: Path | None,
    hashed: bool,
    endpoint: str | None,
    model: str | None,
    price: tuple[float, float] | None,
    since: int | None,
    *,
    trains: bool,
) -> None:
    if hashed and embedder_folder is not None:
        raise click.UsageError("give --embedder or --hashed, not both")
    if endpoint is not None and (model is None or price is None):
        raise click.UsageError("--endpoint needs --model and --price IN OUT (0 0 for a server of your own)")
    if endpoint is None and (model is not None or price is not None):
        raise click.UsageError("--model and --price need --endpoint URL")
    if since is not None and not trains:
        raise click.UsageError("--since keeps a trained embedder; with --embedder or --hashed it has nothing to keep")


def _check_packages(choices: BuildChoices) -> None:
    """Find missing packages before the first step, rather than after the tables are read."""
    needed = [("embedder", "sentence_transformers")] if choices.training and choices.since is None else []
    needed += [("summaries", name) for name in ("av", "rapidocr", "httpx") if choices.summaries.wanted]
    for extra, package in needed:
        if find_spec(package) is None:
            hint = "; or use the hashed embedder with --hashed" if extra == "embedder" else ""
            install = f"install it with: pip install -e '.[{extra}]'{hint}"
            raise click.ClickException(f"`onebar offline build` needs the package {package!r}; {install}")
