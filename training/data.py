"""Examples as packed integer arrays, and batches of equal length made from them.

Examples are rendered and tokenised once. The arrays are cached under a hash of everything that they depend on: rows,
tokenizer, budgets, and the code of the evidence package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

import evidence
from evidence.cleaning import clean_query
from evidence.render import RenderBudgets, Renderer
from evidence.rows import EVIDENCE_COLUMNS, evidence_of_row
from training.config import FieldDropout
from training.errors import DataError
from training.tokenizer import special_token_ids

IGNORED_LABEL = -100

_COLUMNS = ("kind", "target", *EVIDENCE_COLUMNS)

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

    def take(self, rows: Iterable[int]) -> Ragged:
        """Return a packed copy of some rows."""
        return Ragged.from_lists([self[int(row)].tolist() for row in rows])

    def padded(self, rows: NDArray[np.int64], pad: int) -> Tensor:
        """Return rows as one int64 tensor [rows, longest], padded on the right."""
        lengths = self.lengths[rows]
        positions = np.arange(int(lengths.max(initial=0)))
        inside = positions[None, :] < lengths[:, None]  # [rows, longest]
        where = np.where(inside, self.offsets[rows][:, None] + positions[None, :], 0)
        return torch.from_numpy(np.where(inside, self.values[where], pad).astype(np.int64))


@dataclass(frozen=True, slots=True)
class PackedExamples:
    """Rendered sources, targets that end in </s>, and which targets are [REJECT]."""

    sources: Ragged
    targets: Ragged
    is_reject: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.sources)

    def subset(self, rows: NDArray[np.int64]) -> PackedExamples:
        """Return some examples, in the order of `rows`."""
        return PackedExamples(self.sources.take(rows), self.targets.take(rows), self.is_reject[rows])


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input. B examples, S source tokens, T target tokens.

    source: [B, S] int64 · source_mask: [B, S] int64, None when nothing is padded · decoder_input: [B, T] int64, the
    labels shifted right behind the start token · labels: [B, T] int64, IGNORED_LABEL where padded · weights: [B] fp32.
    """

    source: Tensor
    source_mask: Tensor | None
    decoder_input: Tensor
    labels: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        mask = None if self.source_mask is None else self.source_mask.to(device)
        return Batch(
            self.source.to(device), mask, self.decoder_input.to(device), self.labels.to(device), self.weights.to(device)
        )


def collate(
    sources: Ragged, targets: Ragged, rows: NDArray[np.int64], pad: int, start: int, weights: Tensor | None = None
) -> Batch:
    """Gather rows into a Batch; `start` is the decoder's start token."""
    source = sources.padded(rows, pad)
    lengths = torch.from_numpy(sources.lengths[rows])
    padded = bool((lengths != source.shape[1]).any())
    mask = (torch.arange(source.shape[1])[None, :] < lengths[:, None]).long() if padded else None
    labels = targets.padded(rows, IGNORED_LABEL)
    decoder_input = torch.full_like(labels, start)
    decoder_input[:, 1:] = labels[:, :-1]
    decoder_input[decoder_input == IGNORED_LABEL] = pad
    return Batch(source, mask, decoder_input, labels, torch.ones(len(rows)) if weights is None else weights)


@dataclass(frozen=True, slots=True)
class PackedBatches:
    """The batches of one epoch: packed rows and a plan of which rows go together. `weights` is one per row, or None."""

    sources: Ragged
    targets: Ragged
    plan: list[NDArray[np.int64]]
    pad: int
    start: int
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.plan)

    def __getitem__(self, index: int) -> Batch:
        """Return one batch, padded."""
        rows = self.plan[index]
        weights = None if self.weights is None else torch.from_numpy(self.weights[rows])
        return collate(self.sources, self.targets, rows, self.pad, self.start, weights)


def plan_batches(
    source_lengths: OffsetArray, target_lengths: OffsetArray, batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Cut all rows into batches of nearly equal length, in random order.

    Rows are sorted by source length, target length, then at random. With thousands of rows nearly every batch has one
    source length, and needs neither padding nor a mask.
    """
    order = np.lexsort((rng.random(len(source_lengths)), target_lengths // 4, source_lengths))
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def drop_fields(
    sources: Ragged, frozen: NDArray[np.bool_], rates: FieldDropout, sep_id: int, rng: np.random.Generator
) -> Ragged:
    """Blank fields of some sources. Every [SEP] stays, and no source loses its last field.

    A row in `frozen` (a [REJECT] example) keeps text and summary. Its unsafe words may be only there; without them the
    model would learn that an empty summary is a reason to abstain.
    """
    rows, segments = len(sources), 5
    row_of = np.repeat(np.arange(rows), sources.lengths)
    is_sep = sources.values == sep_id
    cumulative = np.cumsum(is_sep)
    before_row = np.concatenate(([0], cumulative))[sources.offsets[:-1]]
    segment_of = np.clip(cumulative - before_row[row_of] - is_sep, 0, segments - 1)
    framing = is_sep.copy()
    framing[sources.offsets[:-1]] = True
    framing[sources.offsets[1:] - 1] = True
    cell = row_of * segments + segment_of
    present = np.bincount(cell[~framing], minlength=rows * segments).reshape(rows, segments) > 0

    chances = np.array([rates.text, rates.summary, rates.anchors, rates.histories, rates.personal])
    dropped = rng.random((rows, segments)) < chances
    only_text = (rng.random(rows) < rates.all_but_text) & present[:, 0]
    dropped[only_text] = [False, True, True, True, True]
    dropped[frozen, :2] = False
    dropped[~(present & ~dropped).any(axis=1)] = False
    keep = framing | ~dropped.reshape(-1)[cell]
    offsets = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(row_of[keep], minlength=rows), out=offsets[1:])
    return Ragged(sources.values[keep], offsets)


def file_hash(*paths: Path) -> str:
    """Return 16 hex digits over the bytes of some files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


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
    digest = hashlib.sha256(path.read_bytes())
    digest.update(tokenizer.to_str().encode())
    digest.update(f"{budgets}{max_target_tokens}".encode())
    digest.update(file_hash(*sorted(Path(evidence.__file__).parent.glob("*.py"))).encode())
    cached = cache / f"{path.stem}-{digest.hexdigest()[:16]}.npz"
    if cached.is_file():
        with np.load(cached) as arrays:
            return PackedExamples(
                Ragged(arrays["sources"], arrays["source_offsets"]),
                Ragged(arrays["targets"], arrays["target_offsets"]),
                arrays["is_reject"],
            )
    packed = _pack(path, tokenizer, budgets, max_target_tokens)
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = cached.with_suffix(".partial.npz")
    np.savez(
        unfinished,
        sources=packed.sources.values,
        source_offsets=packed.sources.offsets,
        targets=packed.targets.values,
        target_offsets=packed.targets.offsets,
        is_reject=packed.is_reject,
    )
    unfinished.replace(cached)
    return packed


def _pack(path: Path, tokenizer: Tokenizer, budgets: RenderBudgets, max_target_tokens: int) -> PackedExamples:
    try:
        available = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    missing = [column for column in _COLUMNS if column not in available]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}; make the examples again with `onebar offline examples`"
        )
    special = special_token_ids(tokenizer)
    renderer = Renderer(tokenizer, budgets)
    sources: list[list[int]] = []
    targets: list[list[int]] = []
    is_reject: list[bool] = []
    target_ids: dict[str, list[int]] = {}
    with tqdm(total=pq.read_metadata(path).num_rows, desc=f"rendering {path.name}", unit="ex", mininterval=2) as bar:
        for record in pq.ParquetFile(path).iter_batches(batch_size=4096, columns=list(_COLUMNS)):
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
                sources.append(renderer.render(evidence_of_row(row)).token_ids)
                targets.append(target)
                is_reject.append(reject)
            bar.update(record.num_rows)
    if not sources:
        raise DataError(f"{path} has no usable example")
    return PackedExamples(Ragged.from_lists(sources), Ragged.from_lists(targets), np.array(is_reject, dtype=np.bool_))
