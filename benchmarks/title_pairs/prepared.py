"""What is made from the pairs before the generator is trained, in the folder of its run.

split.json       what everything depends on
examples/        examples_train.parquet and examples_valid.parquet
tokenizer.json   learnt from the train pairs
retrieval.json   the queries that retrieval finds for the dev pairs; the last file, so that it stands for the others
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.title_pairs.anchors import (
    RANKED,
    TFIDF,
    Lists,
    Trees,
    known_pairs,
    rank,
    ranked_training_anchors,
    retrieve,
    share_with_target,
    tfidf_queries,
    train,
    training_anchors,
)
from benchmarks.title_pairs.embedder import Recipe
from benchmarks.title_pairs.examples import ANCHORS, training_texts, write_training
from benchmarks.title_pairs.pairs import Split
from benchmarks.title_pairs.retrieval import Retrieval
from evaluation.baselines import TitleNeighbours
from evaluation.inputs import TitledQuery
from training.tokenizer import train_tokenizer

SPLIT_FILE, EXAMPLES_FOLDER, TOKENIZER_FILE = "split.json", "examples", "tokenizer.json"
_RETRIEVAL_FILE = "retrieval.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What retrieval finds for the dev pairs, up to 16 queries for each.

    Attributes:
        systems: by each system, from all pairs of the train split.
        known: by the system of the anchors, from the pairs that training and validation have: without those of
            held-out queries.
        share_with_target: of the train, validation and dev pairs, the share whose target is one of the anchors.
        weights: of the figures of each system with an embedder.
    """

    systems: dict[str, Lists]
    known: Lists
    share_with_target: dict[str, float]
    weights: dict[str, dict[str, float]]


def prepare(
    work: Path, kind: str, dev: list[TitledQuery], store: list[TitledQuery], split: Split, facts: Mapping[str, Any]
) -> Prepared:
    """Write the files that are not there yet, and return what retrieval finds.

    Args:
        work: the folder of the run; what is in it was made from the same facts.
        kind: whose queries the anchors are, of `anchors.KINDS`.
        dev: the dev pairs.
        store: the pairs of the train split, from which the dev pairs are answered.
        split: the same pairs, as training sees them.
        facts: what all of it depends on, as plain values; `seed` is one.
    """
    if (work / _RETRIEVAL_FILE).is_file():
        return Prepared(**json.loads((work / _RETRIEVAL_FILE).read_text(encoding="utf-8")))
    recipe = Recipe(seed=facts["seed"])
    trained = train(split, recipe)
    trees: Trees = []
    if kind == RANKED:
        trees, train_lists, valid_lists = ranked_training_anchors(split, trained, recipe)
    else:
        train_lists, valid_lists = training_anchors(kind, split, trained, recipe)
    write_training(work / EXAMPLES_FOLDER, split, train_lists, valid_lists)
    (work / SPLIT_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    train_tokenizer(training_texts(split)).save(str(work / TOKENIZER_FILE))

    tfidf, known = TitleNeighbours(store), known_pairs(split)
    systems = {TFIDF: tfidf_queries(tfidf, dev, ANCHORS)}
    of_all = Retrieval(store, trained.embedder, tfidf)
    systems |= retrieve(of_all, dev, trained.weights, ANCHORS)
    of_known = Retrieval(known, trained.embedder, TitleNeighbours(known))
    if kind == RANKED:
        systems[RANKED] = rank(of_all, store, dev, trained, trees, ANCHORS)
        from_known = rank(of_known, known, dev, trained, trees, ANCHORS)
    elif kind == TFIDF:
        from_known = tfidf_queries(TitleNeighbours(known), dev, ANCHORS)
    else:
        from_known = retrieve(of_known, dev, {kind: trained.weights[kind]}, ANCHORS)[kind]
    shares = {
        name: share_with_target(pairs, lists)
        for name, pairs, lists in (
            ("train", split.train, train_lists),
            ("valid", split.valid, valid_lists),
            ("dev", dev, systems[kind]),
        )
    }
    prepared = Prepared(systems, from_known, shares, trained.facts())
    (work / _RETRIEVAL_FILE).write_text(json.dumps(asdict(prepared)), encoding="utf-8")
    return prepared
