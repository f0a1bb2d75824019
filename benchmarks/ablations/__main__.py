"""`python -m benchmarks.ablations`: do the runs of a configuration, and write the report."""

from __future__ import annotations

import os
from pathlib import Path

import click

import benchmarks.ablations
from benchmarks.ablations.config import load_config
from benchmarks.ablations.facts import Workplace, is_finished
from benchmarks.ablations.plan import name_runs, plan_runs, select_parts, select_runs
from benchmarks.ablations.report import SMOKE, write_report
from benchmarks.ablations.run import do_runs
from evaluation.errors import EvaluationError
from loadtest.machine import begin_result
from training.cli import ENVIRONMENT
from training.errors import TrainingError

PACKAGES = ("numpy", "tokenizers", "torch", "transformers")


@click.command(
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=benchmarks.ablations.__doc__
)
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the runs.")
@click.option("--only", multiple=True, metavar="PARTS", help="Parts of the report, separated by commas [all].")
@click.option(
    "--run", "names", multiple=True, metavar="NAME", help="One run of --list, and those that it needs; repeat it."
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one value of CONFIG.")
@click.option("--list", "listed", is_flag=True, help="List the runs and whether they are finished, and do nothing.")
@click.option("--report", "report_only", is_flag=True, help="Do no run; write the report of what is finished.")
def main(
    config: Path,
    work: Path,
    only: tuple[str, ...],
    names: tuple[str, ...],
    overrides: tuple[str, ...],
    listed: bool,
    report_only: bool,
) -> None:
    """Do the runs and write the report; the help text is the docstring of the package."""
    # torch reads these variables when it is imported, which the first measurement does.
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    head = begin_result("ablations", *PACKAGES)
    try:
        settings = load_config(config, overrides)
        parts = select_parts([name for part in only for name in part.split(",") if name])
        runs = plan_runs(settings)
        chosen = name_runs(runs, names) if names else select_runs(runs, parts)
        place = Workplace(settings, work)
        if listed:
            for run in chosen:
                state = "finished" if is_finished(run, place) else "to do"
                click.echo(f"{state:9} {run.name:32} {' '.join(run.overrides)}")
            return
        if settings.smoke:
            click.echo(SMOKE)
        failed = {} if report_only else do_runs(chosen, place)
        report = write_report(place, runs, parts, head)
    except (EvaluationError, TrainingError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"written to {report}")
    if settings.smoke:
        click.echo(SMOKE)
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise click.ClickException(f"{reasons} (more is in the train.log of the run)")


if __name__ == "__main__":
    main()
