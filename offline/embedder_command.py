"""`onebar offline embedder`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("logs", type=click.Path(exists=True, file_okay=False, path_type=Path))
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
@click.option("--all-days", is_flag=True, help="After the report, train again on all days. Not for examples and lists.")
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
        from offline.embedder.training import TrainingSettings, matryoshka
        from offline.logs.coded import load_logs
        from offline.train_embedder import StartModel, train_embedder
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"`onebar offline embedder` needs the package {error.name!r}; install it with: pip install -e '.[embedder]'"
        ) from error
    settings = TrainingSettings(
        dimensions=matryoshka(dimension),
        vocabulary_size=vocabulary_size,
        batch_size=batch_size or (512 if model is None else 64),
        learning_rate=learning_rate or (0.02 if model is None else 2e-5),
        max_steps=max_steps,
        seed=seed,
    )
    start = None if model is None else StartModel(model, query_prompt, frozen)
    report = train_embedder(
        load_logs(logs), out, settings, start, all_days=all_days, with_unclicked=hard_negatives, say=click.echo
    )
    click.echo(f"embedder {report['version']} written to {out}")
