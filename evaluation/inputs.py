"""Held-out examples, and how targets are removed from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from evaluation.errors import InputError
from evaluation.metrics import normal_form
from evidence.assemble import build_evidence, select_text
from evidence.rows import EVIDENCE_COLUMNS, raw_text_of_row
from evidence.schema import Evidence, RawText

COLUMNS = ("example_id", "photo_id", "user_id", "kind", "source", "target", *EVIDENCE_COLUMNS, "photo_new")


@dataclass(frozen=True, slots=True)
class Example:
    """One held-out example: a video, its viewer, and the query that was clicked.

    Fields are raw, as logged; `evidence` cleans them. `target` is "" where nothing was clicked.
    """

    example_id: str
    photo_id: str
    user_id: str
    source: str
    target: str
    raw: RawText
    summary: str | None
    anchors: tuple[str, ...]
    histories: tuple[str, ...]
    personal: tuple[str, ...]
    photo_new: bool

    @property
    def title(self) -> str:
        """The canonical text."""
        return select_text(self.raw)

    def evidence(self) -> Evidence:
        """Return the evidence that the generator reads."""
        return build_evidence(self.raw, self.summary, self.anchors, self.histories, self.personal)


@dataclass(frozen=True, slots=True)
class TitledQuery:
    """A training pair: the canonical text of a video, or of an item, and a query that was clicked there.

    `item` names the video or the item, where answers for it must be made without its own pairs.
    """

    title: str
    query: str
    item: str = ""


def read_examples(path: Path, *, kind: str | None = None, limit: int | None = None, seed: int = 0) -> list[Example]:
    """Read a file of examples.

    Args:
        path: Parquet, made by `onebar offline examples`.
        kind: only rows of this kind.
        limit: the most examples, drawn at random and kept in the order of the file.
        seed: of the random draw.

    Raises:
        InputError: the file is missing, is not Parquet, lacks a column, or has no such row.
    """
    table = read_parquet(path, COLUMNS)
    rows = np.arange(table.num_rows)
    if kind is not None:
        rows = rows[np.asarray(table["kind"].to_pylist(), dtype=object) == kind]
    if not len(rows):
        raise InputError(f"{path} has no {kind or 'example'} row; make it again with `onebar offline examples`")
    if limit is not None and limit < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    return examples_of_table(table.take(pa.array(rows)))


def examples_of_table(table: pa.Table) -> list[Example]:
    """Return the examples of a table with the columns COLUMNS."""
    return [_example(row) for row in table.to_pylist()]


def read_parquet(
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    where: pc.Expression | None = None,
    fix: str = "make the examples with `onebar offline examples`",
) -> pa.Table:
    """Read a Parquet file, or a folder of them, which may be partitioned (`day=3/…`).

    Args:
        path: of the file or the folder.
        columns: those that it must have, and the only ones that are read; None for all.
        where: a condition on the rows; the others are not kept in memory.
        fix: what to do where the file is missing or of another form, for the message.

    Raises:
        InputError: the file is missing, is not Parquet, or lacks a column.
    """
    if not path.exists():
        raise InputError(f"{path} is missing; {fix}")
    try:
        dataset = ds.dataset(path, format="parquet", partitioning="hive" if path.is_dir() else None)
        names = dataset.schema.names
        missing = [name for name in columns or () if name not in names]
        if missing:
            raise InputError(f"{path} has no column {', '.join(missing)}; {fix}")
        return dataset.to_table(columns=None if columns is None else list(columns), filter=where)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({error}); {fix}") from error


def decontaminate(examples: Iterable[Example], fields: Sequence[str] = ("anchors", "histories")) -> list[Example]:
    """Return the examples without the anchors and histories that contain the target query (paper, 5.1).

    An entry contains the target if the normal form of the target is a substring of its normal form.
    """
    return [replace(example, **_clean_lists(example, fields)) for example in examples]


def _clean_lists(example: Example, fields: Sequence[str]) -> dict[str, Any]:
    wanted = normal_form(example.target)
    kept: dict[str, Any] = {}
    for field in fields:
        entries: tuple[str, ...] = getattr(example, field)
        kept[field] = tuple(entry for entry in entries if wanted not in normal_form(entry))
    return kept


def _example(row: Mapping[str, Any]) -> Example:
    return Example(
        example_id=row["example_id"],
        photo_id=row["photo_id"],
        user_id=row["user_id"],
        source=row["source"],
        target=row["target"],
        raw=raw_text_of_row(row),
        summary=row["summary"],
        anchors=tuple(row["anchors"] or ()),
        histories=tuple(row["histories"] or ()),
        personal=tuple(row["personal"] or ()),
        photo_new=row["photo_new"],
    )
