"""`python -m benchmarks.ingredients`: train and measure the variants, or plot a result."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

import benchmarks.ingredients
from benchmarks.ingredients.report import plot as draw
from benchmarks.ingredients.report import to_markdown
from benchmarks.ingredients.variants import VARIANTS
from evaluation.errors import EvaluationError
from loadtest.machine import begin_result, finish_result
from training.cli import ENVIRONMENT
from training.errors import TrainingError

PACKAGES = ("numpy", "tokenizers", "torch", "transformers")
STEPS_A_MINUTE = 20
"""Steps between two points of a learning curve, for each minute: about eight points at three steps a second."""

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=benchmarks.ingredients.__doc__
)
def main() -> None:
    """Do nothing but hold the two commands; the help text is the docstring of the package."""


@main.command()
@click.argument("shops", type=_FOLDER, nargs=-1, required=True)
@click.option("--unseen", type=_FOLDER, multiple=True, required=True, help="Examples to test on; may be repeated.")
@click.option("--tokenizer", type=_FILE, required=True, help="tokenizer.json of the new models.")
@click.option("--logs", type=_FOLDER, help="Log tables of one shop, for own-tokenizer; without them it is left out.")
@click.option("--validate-on", type=_FOLDER, help="Examples that give the learning curves [the first of SHOPS].")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the runs.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=20.0, help="Of each variant.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Variants at the same time; they share the cores.")
@click.option("--only", multiple=True, type=click.Choice([v.name for v in VARIANTS]), help="Run these variants [all].")
@click.option("--clicks", type=click.IntRange(min=1), default=1000, help="Of each shop that is measured.")
@click.option("--every-steps", type=click.IntRange(min=1), help=f"Between evaluations [{STEPS_A_MINUTE} a minute].")
@click.option("--seed", type=int, default=17, help="Of training and of all samples.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one value everywhere.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="JSON result [result.json in --work].")
def run(
    shops: tuple[Path, ...],
    unseen: tuple[Path, ...],
    tokenizer: Path,
    logs: Path | None,
    validate_on: Path | None,
    work: Path,
    minutes: float,
    jobs: int,
    only: tuple[str, ...],
    clicks: int,
    every_steps: int | None,
    seed: int,
    overrides: tuple[str, ...],
    output: Path | None,
) -> None:
    """Train the variants on the examples of SHOPS, measure them, and print a table.

    The same command again continues an interrupted run. A finished variant is not run again.
    """
    if "own-tokenizer" in only and logs is None:
        raise click.UsageError("own-tokenizer needs the logs of one shop; give --logs")
    for option, folders in (("SHOPS", shops), ("--unseen", unseen)):
        if len({folder.name for folder in folders}) < len(folders):
            raise click.UsageError(f"two folders of {option} have the same name")
    # torch reads these variables when it is imported, which happens below.
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from benchmarks.ingredients.plan import Plan
    from benchmarks.ingredients.run import run_variants

    result = begin_result("ingredients", *PACKAGES)
    plan = Plan(
        work=work,
        shops=shops,
        unseen=unseen,
        validate_on=validate_on or shops[0],
        tokenizer=tokenizer,
        logs=logs,
        minutes=minutes,
        every_steps=every_steps or max(1, round(STEPS_A_MINUTE * minutes)),
        clicks=clicks,
        threads=max(1, result["machine"]["cores"] // jobs),
        seed=seed,
        overrides=overrides,
    )
    chosen = [v for v in VARIANTS if (v.name in only or not only) and (logs is not None or not v.own_tokenizer)]
    try:
        rows = run_variants(chosen, plan, jobs)
        result |= {"training": plan.training_facts(), "jobs": jobs, "variants": rows}
    except (EvaluationError, TrainingError) as error:
        raise click.ClickException(str(error)) from error
    finish_result(result, output or work / "result.json")
    click.echo(to_markdown(rows))
    failed = [f"{row['variant']}: {row['error']}" for row in rows if "error" in row]
    if failed:
        raise click.ClickException("; ".join(failed) + " (more is in the train.log of the variant)")


@main.command()
@click.argument("result", type=_FILE)
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path))
def plot(result: Path, picture: Path) -> None:
    """Draw the learning curves of RESULT as the SVG file PICTURE, and print its table."""
    rows = json.loads(result.read_text(encoding="utf-8"))["variants"]
    draw(rows, picture)
    click.echo(to_markdown(rows))


if __name__ == "__main__":
    main()
