"""Which queries does a trained embedder find for an item, on real pairs of item titles and search queries?

    python -m benchmarks.title_anchors pairs.tsv.gz --output build/title_anchors.json
    python -m benchmarks.title_anchors pairs.tsv.gz --kind hashed
    python -m benchmarks.title_anchors pairs.tsv.gz --kind transformer --model models/all-MiniLM-L6-v2 --epochs 0

The last one takes a model as it is. Trains an embedder on the train split of a file of judged pairs
(benchmarks.title_pairs has its format), with the relation query -> title alone. On the dev split it compares, beside
the TF-IDF baseline: the queries nearest to the title, the queries of the nearest titles, both together, and both fused
with TF-IDF. No query comes from a pair of the same item. The weights of the fusions are fitted on the pairs of a few
train items that training does not see.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.title_pairs.anchors import SYSTEMS, TFIDF, retrieve, tfidf_queries, train
from benchmarks.title_pairs.embedder import HASHED, KINDS, Recipe
from benchmarks.title_pairs.figures import group_masks, hit_rates
from benchmarks.title_pairs.pairs import read_pairs, split_training
from benchmarks.title_pairs.retrieval import Retrieval, TextEmbedder
from evaluation.baselines import TitleNeighbours
from evaluation.errors import EvaluationError
from evaluation.metrics import CUTOFF
from evidence.embedder import TRANSFORMER
from evidence.static_embedder import KIND as STATIC
from loadtest.machine import begin_result, finish_result
from offline.errors import OfflineError
from training.cached_arrays import file_hash

PACKAGES = ("numpy", "scikit-learn", "sentence-transformers", "tokenizers", "torch", "transformers")
ALONE = {"nearest_queries": ("cosine", "popularity"), "queries_of_nearest_titles": ("nearest_titles",)}
"""The figures that the score of each source alone uses."""


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--kind", type=click.Choice(KINDS), default=STATIC, help="Of the embedder.")
@click.option("--epochs", type=click.FloatRange(min=0), default=Recipe().epochs, help="Of training.")
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The local model of sentence-transformers that --kind transformer starts from; with --epochs 0 as it is.",
)
@click.option("--held-out-share", type=click.FloatRange(0, 0.9), default=0.0, help="Of the distinct train queries.")
@click.option("--seed", type=int, default=17, help="Of the split and of training.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(
    file: Path, kind: str, epochs: float, model: Path | None, held_out_share: float, seed: int, output: Path | None
) -> None:
    """Train, test, and print the result as JSON; the help text is the docstring of the module."""
    if (kind == TRANSFORMER) != (model is not None):
        raise click.UsageError(f"--kind {TRANSFORMER} and --model need each other")
    if kind == STATIC and not epochs:
        raise click.UsageError(f"--kind {STATIC} must be trained; give --epochs more than 0")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        result = measure(file, Recipe(kind, epochs, seed, model), held_out_share)
    except (EvaluationError, OfflineError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(finish_result(result, output))


def measure(file: Path, recipe: Recipe, held_out_share: float) -> dict[str, Any]:
    """Train on the train split of a file and test on its dev split.

    Args:
        file: of judged pairs.
        recipe: how the embedder is made; its seed is that of the split too.
        held_out_share: of the distinct queries, which training does not see.

    Returns:
        The result, without the time at which it was finished.

    Raises:
        EvaluationError: the file cannot be used.
        SettingsError: the model cannot be used.
    """
    result = begin_result("title_anchors", *PACKAGES)
    pairs = read_pairs(file)
    split, dev = split_training(pairs["train"], held_out_share, recipe.seed), pairs["dev"]
    begun = time.process_time()
    trained = train(split, recipe, ALONE | SYSTEMS)
    seconds = time.process_time() - begun
    tfidf = TitleNeighbours(pairs["train"])
    store = Retrieval(pairs["train"], trained.embedder, tfidf)
    systems = {TFIDF: tfidf_queries(tfidf, dev, CUTOFF), **retrieve(store, dev, trained.weights, CUTOFF)}
    return result | {
        "protocol": {
            "file": file.name,
            "file_sha256": file_hash(file),
            "held_out_share": held_out_share,
            "seed": recipe.seed,
            "train_pairs": len(split.train),
            "valid_pairs": len(split.valid),
            "dev_pairs": len(dev),
        },
        "training": {
            "kind": recipe.kind,
            "model": recipe.model.name if recipe.model else None,
            "epochs": 0.0 if recipe.kind == HASHED else recipe.epochs,
            "cpu_seconds": round(seconds, 1),
            "weights": trained.facts(),
        },
        "embedding_cpu_ms_per_1000_titles": round(_embedding_time(trained.embedder, [pair.title for pair in dev]), 1),
        "groups": hit_rates(dev, systems, group_masks(dev, split)),
    }


def _embedding_time(embedder: TextEmbedder, texts: list[str]) -> float:
    """Return the CPU time of embedding a thousand different texts, in milliseconds."""
    different = list(dict.fromkeys(texts))
    begun = time.process_time()
    embedder.embed(different)
    return (time.process_time() - begun) * 1e6 / len(different)


if __name__ == "__main__":
    main()
