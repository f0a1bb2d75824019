"""`python -m benchmarks.title_pairs`: train on the train split of a file, test on its dev split, write JSON."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import benchmarks.title_pairs
from benchmarks.title_pairs.examples import ANCHORS, example_rows, find_anchors
from benchmarks.title_pairs.figures import group_masks, hit_rates, reading_recall
from benchmarks.title_pairs.pairs import read_pairs, split_training
from evaluation.baselines import TitleNeighbours
from evaluation.errors import EvaluationError
from evaluation.metrics import CUTOFF
from loadtest.machine import begin_result, finish_result
from training.errors import TrainingError

if TYPE_CHECKING:
    from training.config import SftConfig

PACKAGES = ("numpy", "scikit-learn", "tokenizers", "torch", "transformers")


@click.command(
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=benchmarks.title_pairs.__doc__
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run [a temporary one].")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=24.0, help="Of Stage I.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one value of Stage I.")
@click.option(
    "--init-from", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Start from this checkpoint."
)
@click.option("--resume", is_flag=True, help="Continue the run in the folder --work; a finished run is only tested.")
@click.option(
    "--held-out-share", type=click.FloatRange(0, 0.9), default=0.1, help="Of the distinct queries of the train split."
)
@click.option("--seed", type=int, default=17, help="Of the queries that are held out and the items of validation.")
@click.option("--baseline-only", is_flag=True, help="Train nothing: the figures of the title baseline.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    file: Path,
    work: Path | None,
    minutes: float,
    overrides: tuple[str, ...],
    init_from: Path | None,
    resume: bool,
    held_out_share: float,
    seed: int,
    baseline_only: bool,
    output: Path | None,
) -> None:
    """Train, test, and print the result as JSON; the help text is the docstring of the package."""
    if resume and work is None:
        raise click.UsageError("--resume needs the folder of the run; give --work")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `onebar train`; torch is imported later
    with ExitStack() as stack:
        # Standard output is for the result; training reports its evaluations there.
        stack.enter_context(redirect_stdout(sys.stderr))
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="title_pairs-")))
        try:
            config = None
            if not baseline_only:
                from benchmarks.title_pairs.run import configure

                config = configure(minutes, overrides)
            result = measure(file, folder, config, init_from, resume, held_out_share, seed)
        except (EvaluationError, TrainingError) as error:
            raise click.ClickException(str(error)) from error
    click.echo(finish_result(result, output))


def measure(
    file: Path,
    work: Path,
    config: SftConfig | None,
    init_from: Path | None,
    resume: bool,
    held_out_share: float,
    seed: int,
) -> dict[str, Any]:
    """Train on the train split of a file and test on its dev split.

    Args:
        file: of judged pairs.
        work: the folder of the run.
        config: of Stage I; None trains nothing.
        init_from: a checkpoint to start from.
        resume: continue the run in `work`.
        held_out_share: of the distinct queries of the train split.
        seed: of the split.

    Returns:
        The result, without the time at which it was finished.

    Raises:
        EvaluationError: the file cannot be used.
        TrainingError: Stage I cannot run.
    """
    result = begin_result("title_pairs", *PACKAGES)
    pairs = read_pairs(file)
    split = split_training(pairs["train"], held_out_share, seed)
    dev = pairs["dev"]
    facts = {
        "file": file.name,
        "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest()[:16],
        "held_out_share": held_out_share,
        "seed": seed,
        "anchors": ANCHORS,
        "init_from": init_from.name if init_from else None,
        "train_pairs": len(split.train),
        "valid_pairs": len(split.valid),
        "dev_pairs": len(dev),
        "held_out_queries": len(split.held_out),
    }
    # The evidence store has every pair of the train split, those of the held-out queries too: training did not see it.
    anchors = find_anchors(TitleNeighbours(pairs["train"]), dev)
    baseline = [found[:CUTOFF] for found in anchors]
    groups = group_masks(dev, split)
    result |= {"protocol": facts}
    if config is None:
        return result | {"groups": hit_rates(dev, {"tfidf": baseline}, groups)}

    from benchmarks.title_pairs.answers import answer_rows
    from benchmarks.title_pairs.run import train_generator

    progress = train_generator(work, split, facts, config, init_from, resume)
    answers = answer_rows(work / "checkpoint", example_rows(dev, anchors), config.generation, config.runtime)
    generated = [answer.queries for answer in answers]
    return result | {
        "training": {
            "steps": progress.step,
            "best_step": progress.best_step,
            "samples": progress.samples,
            "seconds": round(progress.seconds, 1),
            "valid_hr@8": round(progress.best, 4),
            "config": asdict(config),
        },
        "groups": hit_rates(dev, {"tfidf": baseline, "generator": generated}, groups),
        "reading": reading_recall(dev, [answer.readable for answer in answers], generated, baseline, groups),
    }


if __name__ == "__main__":
    main()
