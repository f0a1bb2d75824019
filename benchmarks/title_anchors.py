"""Which queries does a trained embedder find for an item, on real pairs of item titles and search queries?

    python -m benchmarks.title_anchors pairs.tsv.gz --output build/title_anchors.json

Trains the static embedder on the train split of a file of judged pairs (benchmarks.title_pairs has its format), with
the relation query -> title alone. On the dev split it compares, beside the TF-IDF baseline: the queries nearest to the
title, the queries of the nearest titles, and the fusion of the nearest queries with TF-IDF. No query comes from a pair
of the same item. The weights of the fusion are tuned on the pairs of a few train items that training does not see.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks.title_pairs.examples import training_texts
from benchmarks.title_pairs.figures import group_masks, hit_rates
from benchmarks.title_pairs.pairs import Split, read_pairs, split_training
from evaluation.baselines import NEIGHBOURS, TitleNeighbours
from evaluation.errors import EvaluationError
from evaluation.inputs import TitledQuery
from evaluation.metrics import CUTOFF
from loadtest.machine import begin_result, finish_result

PACKAGES = ("numpy", "scikit-learn", "sentence-transformers", "tokenizers", "torch", "transformers")
POOL = 64
"""Candidates of each list before lists are fused."""
WEIGHTS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
POPULARITIES = (0.0, 0.01, 0.02, 0.04)
_RANK_OFFSET = 2.0
_ROWS_AT_ONCE = 64

Vectors = npt.NDArray[np.float32]
Lists = list[list[str]]


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), default=8.0, help="Of training.")
@click.option("--held-out-share", type=click.FloatRange(0, 0.9), default=0.0, help="Of the distinct train queries.")
@click.option("--seed", type=int, default=17, help="Of the split and of training.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(file: Path, epochs: float, held_out_share: float, seed: int, output: Path | None) -> None:
    """Train, test, and print the result as JSON; the help text is the docstring of the module."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        result = measure(file, epochs, held_out_share, seed)
    except EvaluationError as error:
        raise click.ClickException(str(error)) from error
    click.echo(finish_result(result, output))


def measure(file: Path, epochs: float, held_out_share: float, seed: int) -> dict[str, Any]:
    """Train on the train split of a file and test on its dev split.

    Args:
        file: of judged pairs.
        epochs: of training.
        held_out_share: of the distinct queries, which training does not see.
        seed: of the split and of training.

    Returns:
        The result, without the time at which it was finished.

    Raises:
        EvaluationError: the file cannot be used.
    """
    from offline.embedder.training import TrainingSettings

    result = begin_result("title_anchors", *PACKAGES)
    pairs = read_pairs(file)
    split = split_training(pairs["train"], held_out_share, seed)
    settings = TrainingSettings(epochs=(epochs, 0.0), seed=seed)
    begun = time.perf_counter()
    space = TrainedSpace(split, pairs["train"], settings)
    seconds = time.perf_counter() - begun
    baseline = TitleNeighbours(pairs["train"])

    # Validation items are in the store too, so their own pairs are left out, as at test.
    popularity = max(
        POPULARITIES, key=lambda weight: _hit_rate(split.valid, space.nearest_queries(split.valid, weight, CUTOFF))
    )
    valid_lists = (space.nearest_queries(split.valid, popularity, POOL), _tfidf(baseline, split.valid, POOL))
    weight = max(WEIGHTS, key=lambda w: _hit_rate(split.valid, fuse(*valid_lists, w)))

    dev = pairs["dev"]
    nearest, tfidf = space.nearest_queries(dev, popularity, POOL), _tfidf(baseline, dev, POOL)
    systems = {
        "tfidf": [found[:CUTOFF] for found in tfidf],
        "nearest_queries": [found[:CUTOFF] for found in nearest],
        "queries_of_nearest_titles": space.queries_of_nearest_titles(dev),
        "fused": fuse(nearest, tfidf, weight),
    }
    return result | {
        "protocol": {
            "file": file.name,
            "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest()[:16],
            "held_out_share": held_out_share,
            "seed": seed,
            "train_pairs": len(split.train),
            "valid_pairs": len(split.valid),
            "dev_pairs": len(dev),
        },
        "training": {"epochs": epochs, "seconds": round(seconds, 1), "popularity": popularity, "tfidf_weight": weight},
        "groups": hit_rates(dev, systems, group_masks(dev, split)),
    }


class TrainedSpace:
    """The trained vectors of a file's titles and queries."""

    def __init__(self, split: Split, store: Sequence[TitledQuery], settings: Any) -> None:
        """Train on the pairs of `split.train`; the pairs of `store` are what answers are made of."""
        from offline.embedder.build import static_embedder_of
        from offline.embedder.relations import QUERY_VIDEO
        from offline.embedder.tokenizer import learn_tokenizer
        from offline.embedder.training import new_static_model, train_stage

        tokenizer = learn_tokenizer(training_texts(split), settings.vocabulary_size)
        model = new_static_model(tokenizer, settings)
        columns = {"left": [pair.query for pair in split.train], "right": [pair.title for pair in split.train]}
        train_stage(model, {QUERY_VIDEO: columns}, 0, settings, show_progress=True)
        self._embedder = static_embedder_of(model, tokenizer, training_texts(split))
        self._queries = sorted({pair.query for pair in store})
        place = {query: number for number, query in enumerate(self._queries)}
        self._items: dict[str, set[int]] = {}
        holders = np.zeros(len(self._queries), np.int64)
        for pair in store:
            self._items.setdefault(pair.item, set()).add(place[pair.query])
            holders[place[pair.query]] += 1
        self._holders = holders  # items of each query
        self._query_vectors = self._embedder.embed_queries(self._queries)
        self._store = list(store)
        self._query_of = np.array([place[pair.query] for pair in store])
        self._item_of = np.array([pair.item for pair in store])
        self._title_vectors = self._embedder.embed([pair.title for pair in store])  # [pairs, d]

    def nearest_queries(self, pairs: Sequence[TitledQuery], popularity: float, count: int) -> Lists:
        """Return the queries with the greatest cosine + popularity x log(1 + items); items other than the own count."""
        answers = []
        for pair, cosines in zip(pairs, self._cosines(pairs, self._query_vectors), strict=True):
            holders = self._holders.copy()
            holders[list(self._items.get(pair.item, ()))] -= 1
            scores = cosines + popularity * np.log1p(holders)
            scores[holders <= 0] = -np.inf
            answers.append(self._best(scores, count))
        return answers

    def queries_of_nearest_titles(self, pairs: Sequence[TitledQuery]) -> Lists:
        """Return the queries of the 30 nearest pairs of other items, by the sum of their squared cosines."""
        answers = []
        for pair, cosines in zip(pairs, self._cosines(pairs, self._title_vectors), strict=True):
            cosines[self._item_of == pair.item] = -np.inf
            near = np.argpartition(-cosines, NEIGHBOURS)[:NEIGHBOURS] if len(cosines) > NEIGHBOURS else slice(None)
            weights = np.square(np.maximum(cosines[near], 0))
            answers.append(self._best(np.bincount(self._query_of[near], weights, len(self._queries)), CUTOFF))
        return answers

    def _cosines(self, pairs: Sequence[TitledQuery], vectors: Vectors) -> Iterator[Vectors]:
        """Yield float32 [len(vectors)] for each pair, the cosines of its title."""
        titles = self._embedder.embed([pair.title for pair in pairs])
        for start in range(0, len(titles), _ROWS_AT_ONCE):
            yield from titles[start : start + _ROWS_AT_ONCE] @ vectors.T

    def _best(self, scores: npt.NDArray[Any], count: int) -> list[str]:
        order = np.argsort(-scores, kind="stable")[:count]
        return [self._queries[place] for place in order if scores[place] > 0]


def fuse(first: Lists, second: Lists, weight: float) -> Lists:
    """Return the best eight by (1 - weight) / (r0 + rank in the first) + weight / (r0 + rank in the second)."""
    answers = []
    for lists in zip(first, second, strict=True):
        scores: dict[str, float] = {}
        for found, share in zip(lists, (1 - weight, weight), strict=True):
            for rank, query in enumerate(found):
                scores[query] = scores.get(query, 0.0) + share / (_RANK_OFFSET + rank)
        answers.append(sorted(scores, key=lambda query: (-scores[query], query))[:CUTOFF])
    return answers


def _tfidf(baseline: TitleNeighbours, pairs: Sequence[TitledQuery], count: int) -> Lists:
    return baseline.predict_titles([pair.title for pair in pairs], [pair.item for pair in pairs], count)


def _hit_rate(pairs: Sequence[TitledQuery], answers: Lists) -> float:
    return float(np.mean([pair.query in found for pair, found in zip(pairs, answers, strict=True)]))


if __name__ == "__main__":
    main()
