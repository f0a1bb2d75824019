"""`onebar evaluate`: bundles and baselines on the held-out day."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from evaluation.abstention import abstention_report, read_labelled, write_labelled
from evaluation.baselines import CopyEvidence, MostPopular, TitleNeighbours
from evaluation.inputs import TitledQuery, read_examples, read_titled_queries
from evaluation.predict import BundlePredictor
from evaluation.reports import to_markdown, to_text
from evaluation.systems import System, run_system, slices, summarize, summarize_difference, summarize_slices

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("bundles", nargs=-1, type=_FOLDER)
@click.option("--examples", "folder", required=True, type=_FOLDER, help="Folder made by `onebar offline examples`.")
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), help="The most clicks, and the most videos for [REJECT].")
@click.option("--seed", default=0, show_default=True, help="Of the random draw of --limit.")
@click.option("--labels", type=_FILE, help="Parquet of photo_id, unsafe, category, to measure [REJECT] with.")
@click.option("--out", type=click.Path(path_type=Path), help="Write OUT.json and OUT.md.")
@click.option("--threads", default=1, show_default=True, help="Intra-op threads of the engine.")
def evaluate(
    bundles: tuple[Path, ...],
    folder: Path,
    split: str,
    limit: int | None,
    seed: int,
    labels: Path | None,
    out: Path | None,
    threads: int,
) -> None:
    """Measure BUNDLES (none, one, or several side by side) and the baselines on held-out clicks.

    Labels are joined once, into unsafe_test.parquet of the examples folder; later runs read that file.

    \b
    onebar evaluate build/bundle --examples build/examples --limit 5000 --out build/evaluation
    onebar evaluate build/fp32 build/int8 --examples build/examples
    onebar evaluate --examples build/examples        the baselines alone
    """
    report = _evaluate(bundles, folder, split, limit, seed, labels, threads)
    click.echo(to_text(report))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        out.with_suffix(".md").write_text(to_markdown(report), encoding="utf-8")
        click.echo(f"\nwritten to {out.with_suffix('.json')} and {out.with_suffix('.md')}")


def _evaluate(
    bundles: tuple[Path, ...],
    folder: Path,
    split: str,
    limit: int | None,
    seed: int,
    labels: Path | None,
    threads: int,
) -> dict[str, Any]:
    begun = time.perf_counter()
    examples = read_examples(folder / f"examples_{split}.parquet", kind="click", limit=limit, seed=seed)
    predictors = {_name(path, bundles): BundlePredictor(path, threads=threads, show_progress=True) for path in bundles}
    systems = _baselines(read_titled_queries(folder / "examples_train.parquet"))
    for name, predictor in predictors.items():
        systems.append(System(f"{name}, title only", predictor.predict_title_only))
        systems.append(System(name, predictor.predict, ("anchors", "histories", "personal")))

    photos = [example.photo_id for example in examples]
    masks = slices(examples)
    outcomes = {system.name: run_system(system, examples) for system in systems}
    report: dict[str, Any] = {
        "examples": len(examples),
        "videos": len(set(photos)),
        "split": split,
        "bundles": {
            name: {"model_version": predictor.bundle.model_version, "precision": predictor.bundle.precision}
            for name, predictor in predictors.items()
        },
        "systems": {
            name: {
                **{view: summarize(outcome, photos) for view, outcome in views.items()},
                "slices": summarize_slices(views["as_served"], masks),
            }
            for name, views in outcomes.items()
        },
        "differences": {
            f"{name} - {other}": summarize_difference(
                outcomes[name]["decontaminated"], outcomes[other]["decontaminated"], photos
            )
            for name in predictors
            for other in outcomes
            if other != name
        },
        "abstention": _abstention(predictors, folder, labels, limit, seed),
    }
    report["seconds"] = round(time.perf_counter() - begun, 1)
    return report


def _baselines(training: list[TitledQuery]) -> list[System]:
    return [
        System("most popular", MostPopular(pair.query for pair in training).predict),
        System("title neighbours", TitleNeighbours(training).predict),
        System("cached queries", CopyEvidence().predict, ("anchors", "histories")),
    ]


def _abstention(
    predictors: dict[str, BundlePredictor], folder: Path, labels: Path | None, limit: int | None, seed: int
) -> dict[str, Any]:
    """Return a report for each bundle; none without labels."""
    labelled = folder / "unsafe_test.parquet"
    if labels is not None:
        write_labelled(folder / "shown_test.parquet", labels, labelled)
    if not predictors or not labelled.is_file():
        return {}
    videos = read_labelled(labelled, limit=limit, seed=seed)
    evidence = [example.evidence() for example in videos.examples]
    return {
        name: abstention_report(predictor.answers(evidence), videos, predictor.bundle.reject_threshold)
        for name, predictor in predictors.items()
    }


def _name(path: Path, bundles: tuple[Path, ...]) -> str:
    """Return the name of the folder if it is unique among the bundles, its path otherwise."""
    return path.name if sum(other.name == path.name for other in bundles) == 1 else str(path)
