"""What training has seen: the words of its texts and queries, and its targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.inputs import Example, read_parquet
from evaluation.metrics import normal_form
from evaluation.words import words_of
from evidence.cleaning import clean_text, strip_summary_prefix
from evidence.rows import QUERY_FIELDS, TEXT_FIELDS

TRAINING_FILE = "examples_train.parquet"
UNSEEN_WORD = "target has a word unseen in training"
UNSEEN_TARGET = "target unseen in training"


@dataclass(frozen=True, slots=True)
class Seen:
    """What training has seen.

    Attributes:
        words: of its targets, texts, summaries and evidence queries.
        targets: its clicked queries, in normal form.
    """

    words: frozenset[str]
    targets: frozenset[str]


def read_seen(folders: Sequence[Path]) -> Seen:
    """Read what the training examples of one or more folders hold. Token budgets are not applied.

    Raises:
        InputError: a folder has no examples, or they are not of the documented form.
    """
    words: set[str] = set()
    targets: set[str] = set()
    for folder in folders:
        table = read_parquet(folder / TRAINING_FILE, ("kind", "target", *TEXT_FIELDS, "summary", *QUERY_FIELDS))
        clicked = _distinct(table.filter(pc.equal(table["kind"], "click"))["target"])
        targets.update(map(normal_form, clicked))
        for text in _evidence_texts(table):
            words.update(words_of(text))
    words.update(word for target in targets for word in words_of(target))
    return Seen(frozenset(words), frozenset(targets))


def novelty_masks(examples: Sequence[Example], seen: Seen) -> dict[str, npt.NDArray[np.bool_]]:
    """Return masks bool[n] over the examples: targets with a word, and whole targets, that training has not seen."""
    targets = [normal_form(example.target) for example in examples]
    return {
        UNSEEN_WORD: np.array([not seen.words.issuperset(words_of(target)) for target in targets], bool),
        UNSEEN_TARGET: np.array([target not in seen.targets for target in targets], bool),
    }


def _evidence_texts(table: pa.Table) -> Iterator[str]:
    """Yield every distinct text, summary and evidence query, cleaned as evidence is."""
    for name in TEXT_FIELDS:
        yield from map(clean_text, _distinct(table[name]))
    yield from map(strip_summary_prefix, _distinct(table["summary"]))
    for name in QUERY_FIELDS:
        yield from map(normal_form, _distinct(pc.list_flatten(table[name])))


def _distinct(column: pa.ChunkedArray) -> list[str]:
    return [text for text in pc.unique(column).to_pylist() if text]
