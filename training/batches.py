"""Batches of nearly equal length. One encoded source may serve several targets.

The encoder is most of the work of a step. Viewers of one video who have no personal queries share a source, so their
clicks are learnt from one encoding; the loss is the same as if each had its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.config import FieldDropout
from training.data import OffsetArray, Ragged

IGNORED_LABEL = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input. B sources of S tokens, N targets of T tokens.

    Attributes:
        source: int64 [B, S]. source_mask: int64 [B, S], None when nothing is padded.
        source_of: int64 [N], the source of each target; None when target i belongs to source i.
        decoder_input: int64 [N, T], the labels shifted right behind the start token.
        labels: int64 [N, T], IGNORED_LABEL where padded. weights: fp32 [N].
    """

    source: Tensor
    source_mask: Tensor | None
    source_of: Tensor | None
    decoder_input: Tensor
    labels: Tensor
    weights: Tensor

    @property
    def weight(self) -> float:
        """What the loss of the batch is a mean over: its target tokens, by their weights."""
        return float(((self.labels != IGNORED_LABEL).sum(dim=1) * self.weights).sum())

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(*(None if value is None else to_device(value, device) for value in self._values()))  # type: ignore[arg-type]

    def _values(self) -> tuple[Tensor | None, ...]:
        return self.source, self.source_mask, self.source_of, self.decoder_input, self.labels, self.weights


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; the copy to a GPU waits for nothing that the GPU does."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def pad_sources(sources: Ragged, rows: NDArray[np.int64], pad: int) -> tuple[Tensor, Tensor | None]:
    """Return rows of `sources` as int64 [B, S], and their mask of the same shape, None when nothing is padded."""
    source = sources.padded(rows, pad)
    lengths = torch.from_numpy(sources.lengths[rows])
    padded = bool((lengths != source.shape[1]).any())
    return source, (torch.arange(source.shape[1])[None, :] < lengths[:, None]).long() if padded else None


def collate(
    sources: Ragged,
    targets: Ragged,
    rows: NDArray[np.int64],
    pad: int,
    start: int,
    *,
    targets_of: Ragged | None = None,
    weights: NDArray[np.float32] | None = None,
) -> Batch:
    """Gather sources and their targets into a Batch.

    Args:
        sources: of all batches.
        targets: of all batches.
        rows: of `sources`.
        pad: the padding token.
        start: the decoder's start token.
        targets_of: for each source the rows of its targets; None when target i belongs to source i.
        weights: one for each target; None for ones.
    """
    source, mask = pad_sources(sources, rows, pad)
    source_of = None
    if targets_of is not None:
        counts = targets_of.lengths[rows]
        if (counts > 1).any():
            source_of = torch.from_numpy(np.repeat(np.arange(len(rows)), counts))
        rows = np.concatenate([targets_of[int(row)] for row in rows]).astype(np.int64)
    labels = targets.padded(rows, IGNORED_LABEL)
    decoder_input = torch.full_like(labels, start)
    decoder_input[:, 1:] = labels[:, :-1]
    decoder_input[decoder_input == IGNORED_LABEL] = pad
    weight = torch.ones(len(rows)) if weights is None else torch.from_numpy(weights[rows])
    return Batch(source, mask, source_of, decoder_input, labels, weight)


@dataclass(frozen=True, slots=True)
class PackedBatches:
    """The batches of one epoch: packed rows, and a plan of which sources go together; see `collate`."""

    sources: Ragged
    targets: Ragged
    plan: list[NDArray[np.int64]]
    pad: int
    start: int
    targets_of: Ragged | None = None
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.plan)

    def __getitem__(self, index: int) -> Batch:
        """Return one batch, padded."""
        return collate(
            self.sources,
            self.targets,
            self.plan[index],
            self.pad,
            self.start,
            targets_of=self.targets_of,
            weights=self.weights,
        )


def share_sources(evidence: OffsetArray, alone: NDArray[np.bool_], most: int, rng: np.random.Generator) -> Ragged:
    """Group examples so that each group can be learnt from one encoded source.

    Args:
        evidence: int64 [n]; rows with one number have one source.
        alone: bool [n], rows that need a source of their own.
        most: rows in a group.
        rng: decides which rows share when there are more.

    Returns:
        The rows of each group; every row is in one.
    """
    rows = len(evidence)
    key = np.where(alone, evidence.max(initial=0) + 1 + np.arange(rows), evidence)
    order = rng.permutation(rows)
    order = order[np.argsort(key[order], kind="stable")]
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    inside = np.arange(rows) - np.repeat(starts, np.diff(starts, append=rows))
    return Ragged(order.astype(np.int32), np.append(np.flatnonzero(inside % most == 0), rows))


def plan_batches(
    source_lengths: OffsetArray,
    target_lengths: OffsetArray,
    batch_size: int,
    rng: np.random.Generator,
    targets: OffsetArray | None = None,
    together: int = 1,
) -> list[NDArray[np.int64]]:
    """Cut all sources into batches of nearly equal length, in random order.

    Sources are sorted by length, length of their longest target, then at random. With thousands of rows nearly every
    batch has one source length, and needs neither padding nor a mask.

    Args:
        source_lengths: tokens of each source.
        target_lengths: tokens of the longest target of each source.
        batch_size: targets in a batch, about.
        rng: decides the order.
        targets: the number of targets of each source; None for one.
        together: so many batches of one length follow each other, for one step. Batches that fill no step are last;
            which ones is random, so that no length is always among them.
    """
    order = np.lexsort((rng.random(len(source_lengths)), target_lengths // 4, source_lengths))
    if targets is None:
        targets = np.ones(len(order), dtype=np.int64)
    before = np.cumsum(targets[order]) - targets[order]
    cuts = np.flatnonzero(np.diff(before // batch_size)) + 1
    batches = np.split(order, cuts)
    rest = []
    if left := len(batches) % together:
        start = together * int(rng.integers(len(batches) // together + 1))
        rest = batches[start : start + left]
        del batches[start : start + left]
    groups = [batches[i : i + together] for i in range(0, len(batches), together)]
    return [batch for i in rng.permutation(len(groups)) for batch in groups[i]] + rest


def drop_fields(
    sources: Ragged,
    frozen: NDArray[np.bool_],
    without_personal: NDArray[np.bool_],
    rates: FieldDropout,
    sep_id: int,
    rng: np.random.Generator,
) -> Ragged:
    """Blank fields of some sources. Every [SEP] stays, and no source loses its last field.

    Args:
        sources: m rows.
        frozen: bool [m], [REJECT] examples. They keep text and summary: their unsafe words may be only there, and
            without them the model would learn that an empty summary is a reason to abstain.
        without_personal: bool [m], rows whose personal queries are blanked; `rates.personal` is not drawn here.
        rates: chances of the other fields.
        sep_id: the token [SEP].
        rng: source of randomness.
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

    chances = np.array([rates.text, rates.summary, rates.anchors, rates.histories, 0.0])
    dropped = rng.random((rows, segments)) < chances
    dropped[without_personal, 4] = True
    only_text = (rng.random(rows) < rates.all_but_text) & present[:, 0]
    dropped[only_text] = [False, True, True, True, True]
    dropped[frozen, :2] = False
    dropped[~(present & ~dropped).any(axis=1)] = False
    dropped[without_personal & present[:, :4].any(axis=1), 4] = True
    keep = framing | ~dropped.reshape(-1)[cell]
    offsets = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(row_of[keep], minlength=rows), out=offsets[1:])
    return Ragged(sources.values[keep], offsets)
