"""Pairs with their anchors, as the files of examples that training reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.title_pairs.pairs import Split
from evaluation.inputs import TitledQuery
from evidence.rows import EVIDENCE_COLUMNS, QUERY_FIELDS

ANCHORS = 16


def write_training(folder: Path, split: Split, train: Sequence[Sequence[str]], valid: Sequence[Sequence[str]]) -> None:
    """Write examples_train.parquet and examples_valid.parquet.

    Args:
        folder: it is created when it is missing.
        split: the pairs.
        train: the anchors of the train pairs.
        valid: the anchors of the validation pairs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs, anchors in (("train", split.train, train), ("valid", split.valid, valid)):
        rows = example_rows(pairs, anchors)
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), folder / f"examples_{name}.parquet")


def example_rows(pairs: Sequence[TitledQuery], anchors: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Return each pair and its anchors as a row of examples; the other fields of evidence are empty."""
    empty: dict[str, Any] = {name: [] if name in QUERY_FIELDS else None for name in EVIDENCE_COLUMNS}
    return [
        {**empty, "kind": "click", "target": pair.query, "title": pair.title, "anchors": list(found)}
        for pair, found in zip(pairs, anchors, strict=True)
    ]


def training_texts(split: Split) -> Iterator[str]:
    """Yield the texts that a tokenizer is learnt from: each title of the train pairs once, the query of each pair."""
    yield from dict.fromkeys(pair.title for pair in split.train)
    for pair in split.train:
        yield pair.query


_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("target", pa.string()),
        *((name, pa.list_(pa.string()) if name in QUERY_FIELDS else pa.string()) for name in EVIDENCE_COLUMNS),
    ]
)
