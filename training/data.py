"""Examples as packed integer arrays. They are rendered and tokenised once, see `training.cached_arrays`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from evidence.assemble import clean_queries
from evidence.cleaning import clean_query
from evidence.render import RenderBudgets, Renderer
from evidence.rows import EVIDENCE_COLUMNS, evidence_of_row
from evidence.schema import Evidence
from training.cached_arrays import Arrays, cached_arrays
from training.errors import DataError
from training.tokenizer import special_token_ids

_COLUMNS = ("kind", "target", *EVIDENCE_COLUMNS)
_VIDEO_COLUMNS = tuple(name for name in EVIDENCE_COLUMNS if name != "personal")

IntArray = NDArray[np.int32]
OffsetArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Sequences of uneven length, concatenated: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: IntArray
    offsets: OffsetArray

    @classmethod
    def from_lists(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """Pack lists of ids."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        values = np.fromiter((i for row in rows for i in row), dtype=np.int32, count=int(offsets[-1]))
        return cls(values, offsets)

    @classmethod
    def join(cls, parts: Sequence[Ragged]) -> Ragged:
        """Return the rows of all parts, in order."""
        offsets = np.zeros(sum(len(part) for part in parts) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([part.lengths for part in parts]), out=offsets[1:])
        return cls(np.concatenate([part.values for part in parts]), offsets)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> IntArray:
        """Return one row, a view."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> OffsetArray:
        """Length of each row."""
        return np.diff(self.offsets)

    def take(self, rows: Sequence[int] | OffsetArray) -> Ragged:
        """Return a packed copy of some rows."""
        chosen = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[chosen]
        offsets = np.zeros(len(chosen) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        where = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return Ragged(self.values[where], offsets)

    def replaced(self, rows: Mapping[int, Sequence[int]]) -> Ragged:
        """Return a copy with other values in some rows."""
        if not rows:
            return self
        lengths = self.lengths
        lengths[list(rows)] = [len(values) for values in rows.values()]
        offsets = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        kept = np.ones(len(self), dtype=np.bool_)
        kept[list(rows)] = False
        values = np.empty(int(offsets[-1]), dtype=np.int32)
        values[np.repeat(kept, lengths)] = self.values[np.repeat(kept, self.lengths)]
        for row, new in rows.items():
            values[offsets[row] : offsets[row + 1]] = new
        return Ragged(values, offsets)

    def padded(self, rows: NDArray[np.int64], pad: int) -> Tensor:
        """Return rows as one int64 tensor [rows, longest], padded on the right."""
        lengths = self.lengths[rows]
        positions = np.arange(int(lengths.max(initial=0)))
        inside = positions[None, :] < lengths[:, None]  # [rows, longest]
        where = np.where(inside, self.offsets[rows][:, None] + positions[None, :], 0)
        return torch.from_numpy(np.where(inside, self.values[where], pad).astype(np.int64))


@dataclass(frozen=True, slots=True)
class PackedExamples:
    """Rendered sources, and what they are paired with, n rows.

    Attributes:
        sources: n rows of token ids.
        targets: n rows that end in </s>.
        is_reject: bool [n], whether the target is [REJECT].
        evidence: int64 [n]; rows with one number differ in the viewer's personal queries only.
    """

    sources: Ragged
    targets: Ragged
    is_reject: NDArray[np.bool_]
    evidence: OffsetArray

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.sources)

    def has_personal(self, sep: int) -> NDArray[np.bool_]:
        """Return bool [n], whether the last field of a source, the viewer's personal queries, is filled."""
        ends = self.sources.offsets[1:]
        return np.asarray(self.sources.values[ends - 2] != sep)

    def subset(self, rows: NDArray[np.int64]) -> PackedExamples:
        """Return some examples, in the order of `rows`."""
        return PackedExamples(
            self.sources.take(rows), self.targets.take(rows), self.is_reject[rows], self.evidence[rows]
        )

    def arrays(self) -> Arrays:
        """Return the examples as named arrays."""
        return {
            "sources": self.sources.values,
            "source_offsets": self.sources.offsets,
            "targets": self.targets.values,
            "target_offsets": self.targets.offsets,
            "is_reject": self.is_reject,
            "evidence": self.evidence,
        }

    @classmethod
    def of(cls, arrays: Arrays) -> PackedExamples:
        """Return the examples of `arrays`."""
        return cls(
            Ragged(arrays["sources"], arrays["source_offsets"]),
            Ragged(arrays["targets"], arrays["target_offsets"]),
            arrays["is_reject"],
            arrays["evidence"],
        )

    @classmethod
    def join(cls, parts: Sequence[PackedExamples]) -> PackedExamples:
        """Return the examples of several shops as one; no evidence is shared between shops."""
        starts = np.cumsum([0, *(int(part.evidence.max(initial=-1)) + 1 for part in parts[:-1])])
        return cls(
            Ragged.join([part.sources for part in parts]),
            Ragged.join([part.targets for part in parts]),
            np.concatenate([part.is_reject for part in parts]),
            np.concatenate([part.evidence + start for part, start in zip(parts, starts, strict=True)]),
        )


def load_examples(
    path: Path | str, tokenizer: Tokenizer, budgets: RenderBudgets, max_target_tokens: int, cache: Path | str
) -> PackedExamples:
    """Return the examples of a Parquet file, rendered and packed; read from `cache` if they were packed before.

    Targets longer than `max_target_tokens` (with </s>) cannot be generated completely and are left out.

    Raises:
        DataError: the file is missing, lacks a column, or has no usable example.
    """
    path, cache = Path(path), Path(cache)
    if not path.is_file():
        raise DataError(f"{path} is missing; make examples with `onebar offline examples`")
    return PackedExamples.of(cached_arrays(path, tokenizer, budgets, max_target_tokens, cache, _pack))


def open_rows(path: Path, columns: Sequence[str], remedy: str) -> pq.ParquetFile:
    """Open a Parquet file that must have some columns.

    Args:
        path: the file.
        columns: their names.
        remedy: what to do where one is missing, for the message.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    missing = [column for column in columns if column not in file.schema_arrow.names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; {remedy}")
    return file


class RowRenderer:
    """Renders rows of evidence. What the viewers of a video share is cleaned once."""

    def __init__(self, tokenizer: Tokenizer, budgets: RenderBudgets) -> None:
        """Start without a video."""
        self._renderer = Renderer(tokenizer, budgets)
        self._videos: dict[tuple[Any, ...], tuple[int, Evidence]] = {}

    def render(self, row: Mapping[str, Any]) -> tuple[int, list[int]]:
        """Return the number of a row's evidence without the viewer's queries, and its source.

        Args:
            row: has the columns EVIDENCE_COLUMNS.
        """
        video = tuple(tuple(v) if isinstance(v := row[name], list) else v for name in _VIDEO_COLUMNS)
        if video not in self._videos:
            self._videos[video] = len(self._videos), evidence_of_row({**row, "personal": None})
        number, shared = self._videos[video]
        evidence = replace(shared, personal=clean_queries(row["personal"] or ()))
        return number, self._renderer.render(evidence).token_ids


def _pack(path: Path, tokenizer: Tokenizer, budgets: RenderBudgets, max_target_tokens: int) -> Arrays:
    file = open_rows(path, _COLUMNS, "make the examples again with `onebar offline examples`")
    special = special_token_ids(tokenizer)
    renderer = RowRenderer(tokenizer, budgets)
    sources: list[list[int]] = []
    targets: list[list[int]] = []
    is_reject: list[bool] = []
    evidence_numbers: list[int] = []
    target_ids: dict[str, list[int]] = {}
    numbers: dict[tuple[int, bool], int] = {}
    with tqdm(total=file.metadata.num_rows, desc=f"rendering {path.name}", unit="ex", mininterval=2) as bar:
        for record in file.iter_batches(batch_size=4096, columns=list(_COLUMNS)):
            for row in record.to_pylist():
                reject = row["kind"] == "reject"
                if reject:
                    target = [special["reject"], special["eos"]]
                else:
                    query = row["target"]
                    if query not in target_ids:
                        encoded = tokenizer.encode(clean_query(query), add_special_tokens=False).ids
                        target_ids[query] = [*encoded, special["eos"]]
                    target = target_ids[query]
                if not 2 <= len(target) <= max_target_tokens:
                    continue
                video, source = renderer.render(row)
                sources.append(source)
                targets.append(target)
                is_reject.append(reject)
                evidence_numbers.append(numbers.setdefault((video, reject), len(numbers)))
            bar.update(record.num_rows)
    if not sources:
        raise DataError(f"{path} has no usable example")
    return PackedExamples(
        Ragged.from_lists(sources),
        Ragged.from_lists(targets),
        np.array(is_reject, dtype=np.bool_),
        np.array(evidence_numbers, dtype=np.int64),
    ).arrays()
