"""`python -m benchmarks.title_pairs`: train on the train split of a file, test on its dev split, write JSON."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import benchmarks.title_pairs
from benchmarks.title_pairs.anchors import KINDS, TFIDF, known_pairs, tfidf_queries
from benchmarks.title_pairs.examples import ANCHORS, example_rows
from benchmarks.title_pairs.figures import group_masks, hit_rates, paired_differences, reading_recall
from benchmarks.title_pairs.pairs import Split, read_pairs, split_training
from evaluation.baselines import TitleNeighbours
from evaluation.errors import EvaluationError
from evaluation.inputs import TitledQuery
from evaluation.metrics import CUTOFF
from loadtest.machine import begin_result, finish_result
from training.cached_arrays import file_hash
from training.errors import TrainingError

if TYPE_CHECKING:
    from training.config import SftConfig

PACKAGES = ("numpy", "scikit-learn", "tokenizers", "torch", "transformers")


@click.command(
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=benchmarks.title_pairs.__doc__
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run [a temporary one].")
@click.option("--anchors", "kind", type=click.Choice(KINDS), default=TFIDF, help="Whose queries the anchors are.")
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
@click.option(
    "--prepare-only", is_flag=True, help="Write examples and tokenizer to the folder --work, and train no generator."
)
@click.option("--baseline-only", is_flag=True, help="Train nothing: the figures of the title baseline.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    file: Path,
    work: Path | None,
    kind: str,
    minutes: float,
    overrides: tuple[str, ...],
    init_from: Path | None,
    resume: bool,
    held_out_share: float,
    seed: int,
    prepare_only: bool,
    baseline_only: bool,
    output: Path | None,
) -> None:
    """Train, test, and print the result as JSON; the help text is the docstring of the package."""
    if resume and work is None:
        raise click.UsageError("--resume needs the folder of the run; give --work")
    if prepare_only and work is None:
        raise click.UsageError("--prepare-only needs a folder to write to; give --work")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `onebar train`; torch is imported later
    with ExitStack() as stack:
        # Standard output is for the result; training reports its evaluations there.
        stack.enter_context(redirect_stdout(sys.stderr))
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="title_pairs-")))
        try:
            if baseline_only:
                result = measure_baseline(file, held_out_share, seed)
            else:
                from benchmarks.title_pairs.run import configure

                config = None if prepare_only else configure(minutes, overrides)
                result = measure(file, folder, kind, config, init_from, resume, held_out_share, seed)
        except (EvaluationError, TrainingError) as error:
            raise click.ClickException(str(error)) from error
    click.echo(finish_result(result, output))


def measure_baseline(file: Path, held_out_share: float, seed: int) -> dict[str, Any]:
    """Test the title baseline on the dev split of a file; see `measure`."""
    pairs = read_pairs(file)
    split, dev = split_training(pairs["train"], held_out_share, seed), pairs["dev"]
    systems = {TFIDF: tfidf_queries(TitleNeighbours(pairs["train"]), dev, CUTOFF)}
    return begin_result("title_pairs", *PACKAGES) | {
        "protocol": _facts(file, split, dev, held_out_share, seed),
        "groups": hit_rates(dev, systems, group_masks(dev, split)),
    }


def measure(
    file: Path,
    work: Path,
    kind: str,
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
        kind: whose queries the anchors are.
        config: of Stage I; None trains no generator.
        init_from: a checkpoint to start from.
        resume: continue the run in `work`.
        held_out_share: of the distinct queries of the train split.
        seed: of the split and of the embedder.

    Returns:
        The result, without the time at which it was finished.

    Raises:
        EvaluationError: the file cannot be used.
        TrainingError: Stage I cannot run.
    """
    from benchmarks.title_pairs.answers import answer_rows
    from benchmarks.title_pairs.prepared import prepare
    from benchmarks.title_pairs.run import CHECKPOINT_FOLDER, check_folder, train_generator

    result = begin_result("title_pairs", *PACKAGES)
    pairs = read_pairs(file)
    split, dev = split_training(pairs["train"], held_out_share, seed), pairs["dev"]
    facts = _facts(file, split, dev, held_out_share, seed) | {
        "anchors": ANCHORS,
        "anchors_by": kind,
        "init_from": init_from.name if init_from else None,
    }
    check_folder(work, facts, resume)
    prepared = prepare(work, kind, dev, pairs["train"], split, facts)
    retrieved = {name: [found[:CUTOFF] for found in lists] for name, lists in prepared.systems.items()}
    groups = group_masks(dev, split)
    result |= {
        "protocol": facts,
        "retrieval": {"weights": prepared.weights, "share_with_target": prepared.share_with_target},
    }
    if config is None:
        return result | {"groups": hit_rates(dev, retrieved, groups)}

    progress = train_generator(work, config, init_from, resume)
    checkpoint = work / CHECKPOINT_FOLDER
    answers = answer_rows(checkpoint, example_rows(dev, prepared.systems[kind]), config.generation, config.runtime)
    generated = [answer.queries for answer in answers]
    # Targets that training and validation do not have, with sources that do not have them either.
    known = {pair.query for pair in known_pairs(split)}
    unknown = np.flatnonzero([pair.query not in known for pair in dev])
    asked = [dev[row] for row in unknown]
    unread = answer_rows(
        checkpoint, example_rows(asked, [prepared.known[row] for row in unknown]), config.generation, config.runtime
    )
    parts = {name: mask[unknown] for name, mask in groups.items() if name != "seen"}
    return result | {
        "training": {
            "steps": progress.step,
            "best_step": progress.best_step,
            "samples": progress.samples,
            "seconds": round(progress.seconds, 1),
            "valid_hr@8": round(progress.best, 4),
            "config": asdict(config),
        },
        "groups": hit_rates(dev, {**retrieved, "generator": generated}, groups),
        "paired": paired_differences(dev, generated, retrieved, groups),
        "reading": reading_recall(
            dev, [answer.readable for answer in answers], generated, kind, retrieved[kind], groups
        ),
        "targets_without_evidence": hit_rates(asked, {"generator": [answer.queries for answer in unread]}, parts),
    }


def _facts(file: Path, split: Split, dev: list[TitledQuery], held_out_share: float, seed: int) -> dict[str, Any]:
    return {
        "file": file.name,
        "file_sha256": file_hash(file),
        "held_out_share": held_out_share,
        "seed": seed,
        "train_pairs": len(split.train),
        "valid_pairs": len(split.valid),
        "dev_pairs": len(dev),
        "held_out_queries": len(split.held_out),
    }


if __name__ == "__main__":
    main()
