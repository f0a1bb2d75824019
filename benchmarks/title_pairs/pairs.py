"""The positive pairs of a file of judged titles and queries, and the split that training sees.

The file is a gzip-compressed TSV with the columns split (train or dev), product_uid, title, query and relevance (1 to
3). Its fields have no quotes around them.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.errors import InputError
from evaluation.inputs import TitledQuery
from evaluation.metrics import normal_form
from evidence.cleaning import clean_text

POSITIVE_RELEVANCE = 2.33
COLUMNS = ("split", "product_uid", "title", "query", "relevance")
SPLITS = ("train", "dev")
VALIDATION_SHARE = 0.02
"""Of the train items: the pairs that a checkpoint is chosen by."""


@dataclass(frozen=True, slots=True)
class Split:
    """The train split of a file, as training sees it.

    Attributes:
        train: pairs to learn from.
        valid: pairs of other items, to choose the checkpoint by.
        held_out: queries that are in neither, as their normal forms.
    """

    train: list[TitledQuery]
    valid: list[TitledQuery]
    held_out: frozenset[str]


def read_pairs(path: Path) -> dict[str, list[TitledQuery]]:
    """Return the positive pairs of each split, cleaned and case-folded, each (item, query) once.

    Raises:
        InputError: the file is not a gzip-compressed TSV with these columns, or a split has no positive pair.
    """
    found: dict[str, dict[tuple[str, str], TitledQuery]] = {split: {} for split in SPLITS}
    for line, row in _rows(path):
        if row["split"] not in found:
            raise InputError(f"{path}, line {line}: split must be one of {', '.join(SPLITS)}, got {row['split']!r}")
        try:
            relevance = float(row["relevance"])
        except ValueError:
            raise InputError(f"{path}, line {line}: relevance must be a number, got {row['relevance']!r}") from None
        if relevance >= POSITIVE_RELEVANCE:
            pair = TitledQuery(clean_text(row["title"]).casefold(), normal_form(row["query"]), row["product_uid"])
            if pair.title and pair.query:
                found[row["split"]].setdefault((pair.item, pair.query), pair)
    for split, pairs in found.items():
        if not pairs:
            raise InputError(
                f"{path} has no positive pair in the split {split}: a title and a query, with a relevance of "
                f"{POSITIVE_RELEVANCE} or more"
            )
    if shared := {item for item, _ in found["train"]} & {item for item, _ in found["dev"]}:
        raise InputError(f"{path} has the item {min(shared)} in both splits; split it by product_uid")
    return {split: list(pairs.values()) for split, pairs in found.items()}


def split_training(pairs: Sequence[TitledQuery], held_out_share: float, seed: int) -> Split:
    """Hold queries out of the train split, and set the pairs of a few items aside for validation.

    Args:
        pairs: of the train split.
        held_out_share: of its distinct queries.
        seed: of both draws.

    Raises:
        InputError: too few pairs are left to train and to validate.
    """
    draw = np.random.default_rng(seed)
    queries = sorted({pair.query for pair in pairs})
    held_out = frozenset(queries[n] for n in draw.permutation(len(queries))[: round(held_out_share * len(queries))])
    kept = [pair for pair in pairs if pair.query not in held_out]
    items = sorted({pair.item for pair in kept})
    if len(items) < 2:
        raise InputError(f"{len(items)} items are left to train and to validate on; give a larger file")
    chosen = {items[n] for n in draw.permutation(len(items))[: max(1, round(VALIDATION_SHARE * len(items)))]}
    return Split(
        train=[pair for pair in kept if pair.item not in chosen],
        valid=[pair for pair in kept if pair.item in chosen],
        held_out=held_out,
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line and its row, with a text in every column of COLUMNS."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise InputError(f"{path} has no column {', '.join(missing)}; it must have {', '.join(COLUMNS)}")
            for row in reader:
                if any(row[name] is None for name in COLUMNS):
                    raise InputError(f"{path}, line {reader.line_num} has too few columns")
                yield reader.line_num, row
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a gzip-compressed TSV: {error}") from error
