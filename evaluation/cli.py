"""`onebar evaluate`: bundles and baselines on the held-out day, of the own shop and of unseen ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click

from evaluation.abstention import abstention_report
from evaluation.errors import ModelError
from evaluation.judging import Judge, grade_report, unasked
from evaluation.labels import LabelledVideos, labelled_videos
from evaluation.language_model import LanguageModel
from evaluation.novelty import read_seen
from evaluation.predict import BundlePredictor, choose_embedder
from evaluation.report_files import write_report
from evaluation.reports import relevance_text, to_markdown, to_text
from evaluation.shop_logs import ShopLogs
from evaluation.worlds import Draw, World, measure_world, read_held_out
from evaluation.zero_shot import ZeroShot

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _asked(role: str, what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options of one language model."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option(f"--{role}-endpoint", metavar="URL", help=f"OpenAI-compatible endpoint of a model {what}.")
        @click.option(f"--{role}-model", metavar="NAME", help=f"Name of the model {what}.")
        @click.option(
            f"--{role}-concurrency",
            default=4,
            show_default=True,
            type=click.IntRange(min=1),
            help="Requests at a time.",
        )
        @wraps(command)
        def with_model(**options: Any) -> Any:
            url, name, concurrency = (options.pop(f"{role}_{part}") for part in ("endpoint", "model", "concurrency"))
            if (url is None) != (name is None):
                raise click.UsageError(f"--{role}-endpoint and --{role}-model belong together; give both")
            options[_PARAMETERS[role]] = LanguageModel(url, name, f"--{role}-", concurrency) if url else None
            return command(**options)

        return with_model

    return add


_PARAMETERS = {"llm": "language_model", "judge": "judge"}
"""Role of a language model to the parameter of the command."""


@click.command()
@click.argument("bundles", nargs=-1, type=_FOLDER)
@click.option("--examples", "folder", required=True, type=_FOLDER, help="Folder made by `onebar offline examples`.")
@click.option("--unseen", multiple=True, type=_FOLDER, help="Examples of a shop that no bundle was trained on.")
@click.option(
    "--truth",
    "truths",
    multiple=True,
    type=_FOLDER,
    help="WORLD/truth of --examples, to find wrong entities; given again, of each --unseen in their order.",
)
@click.option(
    "--training",
    multiple=True,
    type=_FOLDER,
    help="Examples that the bundles were trained on, if not only on --examples; may be given again.",
)
@click.option("--split", type=click.Choice(["valid", "test"]), default="test", show_default=True)
@click.option(
    "--limit", type=click.IntRange(min=1), help="The most clicks of a shop, and the most videos for [REJECT]."
)
@click.option("--seed", default=0, show_default=True, help="Of the random draw of --limit.")
@click.option("--labels", type=_FILE, help="Parquet of photo_id, unsafe, category, to measure [REJECT] with.")
@click.option("--out", type=click.Path(path_type=Path), help="Write OUT.json and OUT.md.")
@click.option("--threads", default=1, show_default=True, help="Intra-op threads of the engine.")
@click.option(
    "--logs",
    multiple=True,
    type=_FOLDER,
    help="Log tables (Parquet) of --examples, for the cascade MCA and more slices; given again, of each --unseen.",
)
@click.option(
    "--embedder",
    "embedders",
    multiple=True,
    type=_FOLDER,
    help="Static embedder of --examples for ANN, MCA and BAS; given again, of each --unseen.  [default: that of the "
    "first bundle, else the hashed one; for --unseen that of --examples]",
)
@_asked("llm", "measured as the zero-shot baseline")
@_asked("judge", "that grades the answers (SR)")
@click.option("--judged", default=200, show_default=True, help="The most clicks that the judge grades.")
def evaluate(
    bundles: tuple[Path, ...],
    folder: Path,
    unseen: tuple[Path, ...],
    truths: tuple[Path, ...],
    training: tuple[Path, ...],
    split: str,
    limit: int | None,
    seed: int,
    labels: Path | None,
    out: Path | None,
    threads: int,
    logs: tuple[Path, ...],
    embedders: tuple[Path, ...],
    language_model: LanguageModel | None,
    judge: LanguageModel | None,
    judged: int,
) -> None:
    """Measure BUNDLES (none, one, or several side by side) and the baselines on held-out clicks.

    Labels are joined once, into unsafe_SPLIT.parquet of the examples folder; later runs read that file.

    \b
    onebar evaluate build/bundle --examples build/examples --limit 5000 --out build/evaluation
    onebar evaluate build/fp32 build/int8 --examples build/examples
    onebar evaluate build/bundle --examples build/examples --unseen other/examples
    onebar evaluate demo/bundle --examples var/examples --truth var/world/truth --logs var/world
    onebar evaluate --examples build/examples        the baselines alone
    onebar evaluate build/bundle --examples build/examples --judge-endpoint http://localhost:8000/v1 --judge-model NAME

    The key of both endpoints is read from ONEBAR_EVALUATION_API_KEY.
    """
    for option, given in (("--truth", truths), ("--logs", logs), ("--embedder", embedders)):
        if len(given) > 1 + len(unseen):
            raise click.UsageError(f"{option} is given more often than there are folders of examples")
    begun = time.perf_counter()
    videos = labelled_videos(folder, split, labels, limit=limit, seed=seed)  # read first: a wrong file costs no hours
    draw = Draw(split, limit, seed)
    predictors = {_name(path, bundles): BundlePredictor(path, threads=threads, show_progress=True) for path in bundles}
    seen = read_seen(training or (folder,))
    first, *further = (choose_embedder(path, predictors.values()) for path in embedders or (None,))
    shops = zip_longest((folder, *unseen), (first, *further), truths, map(ShopLogs, logs))
    worlds = [
        World(path, embedder or first, truth, tables, title_only=place == 0)
        for place, (path, embedder, truth, tables) in enumerate(shops)
    ]
    held_out = [read_held_out(world, draw) for world in worlds]  # all of them, before the first is measured
    zero_shot = ZeroShot(language_model, show_progress=True) if language_model else None
    grader = Judge(judge, judged) if judge is not None else None
    (measured, shown), *others = (
        measure_world(world, clicks, predictors, seen, zero_shot)
        for world, clicks in zip(worlds, held_out, strict=True)
    )
    unseen_worlds = {_name(path, unseen): found for path, found in zip(unseen, others, strict=True)}
    report: dict[str, Any] = {
        "split": split,
        "bundles": {
            name: {"model_version": predictor.bundle.model_version, "precision": predictor.bundle.precision}
            for name, predictor in predictors.items()
        },
        "judge": unasked(grader),
        **measured,
        "unseen": {name: found for name, (found, _) in unseen_worlds.items()},
        "abstention": _abstention(predictors, videos) if videos is not None else {},
    }
    click.echo(to_text(report))
    _write(out, report, begun)
    if grader is not None:  # after the report is written: the judge may fail
        try:
            grade_report(grader, report, shown, {name: answers for name, (_, answers) in unseen_worlds.items()})
        finally:
            click.echo(relevance_text(report))
            _write(out, report, begun)
    if zero_shot is not None and zero_shot.failure is not None:
        raise ModelError(f"{zero_shot.name} is not in the report: {zero_shot.failure}")


def _write(out: Path | None, report: dict[str, Any], begun: float) -> None:
    """Write the report, with the seconds since the command began, if it is to be written."""
    report["seconds"] = round(time.perf_counter() - begun, 1)
    if out is not None:
        click.echo("\n" + write_report(out, report, to_markdown(report)))


def _abstention(predictors: dict[str, BundlePredictor], videos: LabelledVideos) -> dict[str, Any]:
    """Return a report for each bundle."""
    evidence = [example.evidence() for example in videos.examples]
    return {
        name: abstention_report(predictor.answers(evidence), videos, predictor.bundle.reject_threshold)
        for name, predictor in predictors.items()
    }


def _name(path: Path, paths: tuple[Path, ...]) -> str:
    """Return the name of the folder if it is unique among the paths, its path otherwise."""
    return path.name if sum(other.name == path.name for other in paths) == 1 else str(path)
