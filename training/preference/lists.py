"""Behaviour lists as packed integer arrays, and their batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from evidence.cleaning import clean_query
from evidence.render import RenderBudgets
from evidence.rows import EVIDENCE_COLUMNS
from training.batches import Batch, PackedBatches, plan_batches, to_device
from training.cached_arrays import Arrays, cached_arrays
from training.data import Ragged, RowRenderer, open_rows
from training.errors import DataError
from training.tokenizer import special_token_ids

LOWEST_CLICKED_LEVEL = 4
"""Levels 1 to 4 of Table 2, paper, are clicks; 5 was shown in vain, 6 was never shown."""

_COLUMNS = (*EVIDENCE_COLUMNS, "queries", "levels")


@dataclass(frozen=True, slots=True)
class ListBatch:
    """B sources, and the N candidates of their lists.

    Attributes:
        candidates: sources, and candidates as targets; those of a list are consecutive, best first.
        place: int64 [N], the place of each candidate in its list, from 0.
        clicked: bool [N], whether its level is one of clicks.
    """

    candidates: Batch
    place: Tensor
    clicked: Tensor

    @property
    def labels(self) -> Tensor:
        """int64 [N, T], the tokens of the candidates."""
        return self.candidates.labels

    @property
    def weight(self) -> float:
        """What the preference loss of the batch is a mean over: its lists."""
        return float(self.candidates.source.shape[0])

    def to(self, device: torch.device) -> ListBatch:
        """Return the batch on a device."""
        return ListBatch(self.candidates.to(device), to_device(self.place, device), to_device(self.clicked, device))


@dataclass(frozen=True, slots=True)
class PackedLists:
    """Rendered sources, and the candidates of each, m lists of n candidates in all.

    Attributes:
        sources: m rows of token ids.
        queries: n rows that end in </s>.
        queries_of: for each source the rows of its candidates, best first.
        levels: int8 [n], 1 the best.
    """

    sources: Ragged
    queries: Ragged
    queries_of: Ragged
    levels: NDArray[np.int8]

    def __len__(self) -> int:
        """Return the number of lists."""
        return len(self.sources)

    def arrays(self) -> Arrays:
        """Return the lists as named arrays."""
        return {
            "sources": self.sources.values,
            "source_offsets": self.sources.offsets,
            "queries": self.queries.values,
            "query_offsets": self.queries.offsets,
            "queries_of": self.queries_of.values,
            "list_offsets": self.queries_of.offsets,
            "levels": self.levels,
        }

    @classmethod
    def of(cls, arrays: Arrays) -> PackedLists:
        """Return the lists of `arrays`."""
        return cls(
            Ragged(arrays["sources"], arrays["source_offsets"]),
            Ragged(arrays["queries"], arrays["query_offsets"]),
            Ragged(arrays["queries_of"], arrays["list_offsets"]),
            arrays["levels"],
        )

    @classmethod
    def join(cls, parts: Sequence[PackedLists]) -> PackedLists:
        """Return the lists of several shops as one."""
        starts = np.cumsum([0, *(len(part.queries) for part in parts[:-1])])
        places = Ragged.join([part.queries_of for part in parts])
        shifts = np.concatenate([np.full(len(part.queries), start) for part, start in zip(parts, starts, strict=True)])
        return cls(
            Ragged.join([part.sources for part in parts]),
            Ragged.join([part.queries for part in parts]),
            Ragged((places.values + shifts).astype(np.int32), places.offsets),
            np.concatenate([part.levels for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class ListBatches:
    """The batches of one epoch."""

    packed: PackedBatches
    levels: NDArray[np.int8]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.packed)

    def __getitem__(self, index: int) -> ListBatch:
        """Return one batch, padded."""
        queries_of = self.packed.targets_of
        assert queries_of is not None
        rows = self.packed.plan[index]
        lengths = queries_of.lengths[rows]
        candidates = np.concatenate([queries_of[int(row)] for row in rows])
        place = np.arange(len(candidates)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        clicked = self.levels[candidates] <= LOWEST_CLICKED_LEVEL
        return ListBatch(self.packed[index], torch.from_numpy(place), torch.from_numpy(clicked))


def list_batches(
    lists: PackedLists, special: dict[str, int], batch_size: int, rng: np.random.Generator, together: int = 1
) -> ListBatches:
    """Cut all lists into batches of about `batch_size` lists of nearly equal length; see `plan_batches`."""
    longest = np.maximum.reduceat(lists.queries.lengths[lists.queries_of.values], lists.queries_of.offsets[:-1])
    plan = plan_batches(lists.sources.lengths, longest, batch_size, rng, together=together)
    packed = PackedBatches(lists.sources, lists.queries, plan, special["pad"], special["eos"], lists.queries_of)
    return ListBatches(packed, lists.levels)


def load_lists(
    path: Path, tokenizer: Tokenizer, budgets: RenderBudgets, max_query_tokens: int, cache: Path
) -> PackedLists:
    """Return the behaviour lists of a Parquet file, rendered and packed; read from `cache` if they were packed before.

    A candidate longer than `max_query_tokens` (with </s>) cannot be generated completely and is left out, and so is a
    list that is then without a comparison.

    Raises:
        DataError: the file is missing, lacks a column, or has no usable list.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; make behaviour lists with `onebar offline lists`")
    return PackedLists.of(cached_arrays(path, tokenizer, budgets, max_query_tokens, cache, _pack))


def _pack(path: Path, tokenizer: Tokenizer, budgets: RenderBudgets, max_query_tokens: int) -> Arrays:
    file = open_rows(path, _COLUMNS, "make it again with `onebar offline lists`")
    special = special_token_ids(tokenizer)
    renderer = RowRenderer(tokenizer, budgets)
    sources: list[list[int]] = []
    queries: list[list[int]] = []
    queries_of: list[list[int]] = []
    levels: list[int] = []
    known: dict[str, list[int]] = {}
    with tqdm(total=file.metadata.num_rows, desc=f"rendering {path.name}", unit="list", mininterval=2) as bar:
        for record in file.iter_batches(batch_size=4096, columns=list(_COLUMNS)):
            for row in record.to_pylist():
                for query in row["queries"]:
                    if query not in known:
                        encoded = tokenizer.encode(clean_query(query), add_special_tokens=False).ids
                        known[query] = [*encoded, special["eos"]]
                usable = [
                    (known[query], level)
                    for query, level in zip(row["queries"], row["levels"], strict=True)
                    if 2 <= len(known[query]) <= max_query_tokens
                ]
                if len(usable) < 2 or usable[0][1] > LOWEST_CLICKED_LEVEL:
                    continue
                sources.append(renderer.render(row)[1])
                queries_of.append(list(range(len(queries), len(queries) + len(usable))))
                queries.extend(ids for ids, _ in usable)
                levels.extend(level for _, level in usable)
            bar.update(record.num_rows)
    if not sources:
        raise DataError(f"{path} has no list with a clicked candidate and one ranked below it")
    return PackedLists(
        Ragged.from_lists(sources), Ragged.from_lists(queries), Ragged.from_lists(queries_of), np.array(levels, np.int8)
    ).arrays()
