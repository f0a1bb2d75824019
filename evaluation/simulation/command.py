"""`onebar simulate`: A/A and A/B tests of a bundle against the cascade or another bundle, played by a demo world."""

from __future__ import annotations

from pathlib import Path

import click

from evaluation.predict import BundlePredictor, choose_embedder
from evaluation.report_files import write_report
from evaluation.simulation.play import Plan, Simulation
from evaluation.simulation.report import to_markdown

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_PLAN = Plan()


@click.command()
@click.argument("world", type=_FOLDER)
@click.argument("bundle", type=_FOLDER)
@click.option("--examples", required=True, type=_FOLDER, help="Examples of WORLD, made by `onebar offline examples`.")
@click.option(
    "--evidence",
    required=True,
    type=_FOLDER,
    help="Folder with evidence-DAY.parquet and users-DAY.parquet; these log days are played.",
)
@click.option("--control", type=_FOLDER, help="Another bundle as the control, in place of the cascade MCA.")
@click.option(
    "--embedder",
    "embedder_folder",
    type=_FOLDER,
    help="Static embedder for the cascade MCA.  [default: that of BUNDLE, or the hashed one if it is a transformer]",
)
@click.option("--impressions", default=_PLAN.impressions, show_default=True, help="Impressions of each day.")
@click.option(
    "--calibration",
    default=_PLAN.calibration,
    show_default=True,
    help="Impressions of the first day, before the experiment, by which both systems choose which bars they show.",
)
@click.option(
    "--control-exposure",
    type=click.FloatRange(0, 1, min_open=True),
    default=_PLAN.control_exposure,
    show_default=True,
    help="Share of the calibration at which the control shows a bar; its CTR there is the floor for both.",
)
@click.option("--ctr-floor", type=click.FloatRange(0, 1), help="The floor itself, in place of --control-exposure.")
@click.option("--splits", default=_PLAN.splits, show_default=True, help="A/A splits, to check the intervals.")
@click.option("--seed", default=_PLAN.seed, show_default=True, help="Of the traffic.")
@click.option("--threads", default=1, show_default=True, help="Intra-op threads of the engine.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Write OUT.json and OUT.md.")
def simulate(
    world: Path,
    bundle: Path,
    examples: Path,
    evidence: Path,
    control: Path | None,
    embedder_folder: Path | None,
    impressions: int,
    calibration: int,
    control_exposure: float,
    ctr_floor: float | None,
    splits: int,
    seed: int,
    threads: int,
    out: Path,
) -> None:
    """Compare BUNDLE with the cascade MCA, or with another bundle, on simulated days of WORLD (docs/simulation.md).

    \b
    onebar offline evidence var/world var/ab/evidence-11.parquet --as-of-day 11 --embedder var/embedder
    onebar offline users    var/world var/ab/users-11.parquet    --as-of-day 11 --embedder var/embedder
    onebar simulate var/world demo/bundle --examples var/examples --evidence var/ab --out build/simulation
    """
    if control is not None and embedder_folder is not None:
        raise click.UsageError("--embedder is for the cascade, and --control takes its place; give one of them")
    predictor = BundlePredictor(bundle, threads=threads, show_progress=True)
    other = None if control is None else BundlePredictor(control, threads=threads, show_progress=True)
    embedder = choose_embedder(embedder_folder, [predictor])
    simulation = Simulation(world, examples, evidence, predictor, other, embedder)
    report = simulation.run(Plan(impressions, calibration, control_exposure, ctr_floor, splits, seed))
    text = to_markdown(report)
    click.echo(text)
    click.echo(write_report(out, report, text))
