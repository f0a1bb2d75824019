"""The teacher's source x+: the student's source x with the clicked queries in it (eq. 11 and Table 5, paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evidence.render import split_on
from training.augmentation import Alphabet
from training.batches import Batch, PackedBatches, pad_sources, to_device
from training.data import Ragged
from training.noising import ANCHORS, HISTORIES, join_on, join_segments, split_segments
from training.policy_config import TeacherConfig

_FREE_TEXT = (0, 1)
"""The segments of a source that hold text and summary."""


@dataclass(frozen=True, slots=True)
class PosteriorBatch:
    """A step of Stage III.

    Attributes:
        student: sources x and clicked targets.
        posterior: int64 [B, S'], the teacher's sources x+. posterior_mask: of the same shape, or None.
    """

    student: Batch
    posterior: Tensor
    posterior_mask: Tensor | None

    @property
    def labels(self) -> Tensor:
        """int64 [N, T], the clicked targets."""
        return self.student.labels

    @property
    def weight(self) -> float:
        """That of the student's batch."""
        return self.student.weight

    def to(self, device: torch.device) -> PosteriorBatch:
        """Return the batch on a device."""
        mask = None if self.posterior_mask is None else to_device(self.posterior_mask, device)
        return PosteriorBatch(self.student.to(device), to_device(self.posterior, device), mask)


@dataclass(frozen=True, slots=True)
class PosteriorBatches:
    """The batches of one epoch: those of the student, and the teacher's source of each of its sources.

    Attributes:
        packed: the student's batches.
        teacher: how sources are made.
        alphabet: of the tokenizer.
        longest: tokens that a source may have.
        seed: with the number of a batch it decides where queries are inserted.
    """

    packed: PackedBatches
    teacher: TeacherConfig
    alphabet: Alphabet
    longest: int
    seed: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.packed)

    def __getitem__(self, index: int) -> PosteriorBatch:
        """Return one batch, padded."""
        packed, rows = self.packed, self.packed.plan[index]
        rng = np.random.default_rng((*self.seed, index))
        posteriors = Ragged.from_lists([self._posterior(row, rng) for row in rows.tolist()])
        source, mask = pad_sources(posteriors, np.arange(len(rows)), packed.pad)
        return PosteriorBatch(packed[index], source, mask)

    def _posterior(self, row: int, rng: np.random.Generator) -> list[int]:
        source: list[int] = self.packed.sources[row].tolist()
        targets_of = self.packed.targets_of
        targets = [row] if targets_of is None else targets_of[row].tolist()
        clicked = dict.fromkeys(tuple(self.packed.targets[target][:-1].tolist()) for target in targets)
        clicked.pop((self.alphabet.special["reject"],), None)
        if not clicked:  # a [REJECT] example: the teacher reads what the student reads
            return source
        return posterior_source(source, list(clicked), self.teacher, self.alphabet, self.longest, rng)


def posterior_source(
    source: Sequence[int],
    queries: Sequence[Sequence[int]],
    teacher: TeacherConfig,
    alphabet: Alphabet,
    longest: int,
    rng: np.random.Generator,
) -> list[int]:
    """Insert queries into one source, by the construction of `teacher`.

    - append: as one more segment at the end.
    - histories: among the histories, each at a random place.
    - random: each in a random field that is not empty, at a random place: between two queries of a list, between two
      words of a text.
    - masked_random: the same, with part of its words masked.

    Histories, anchors, summary and text are cut, in this order and from their end, where the source would be longer
    than `longest`. Queries that do not fit even then are left out.
    """
    between, special = alphabet.between, alphabet.special
    segments = split_segments(source, special["sep"])
    if teacher.construction == "masked_random":
        queries = [_masked(query, alphabet, teacher.mask_ratio, rng) for query in queries]
    frame = len(segments) + 1 + (teacher.construction == "append")
    kept: list[Sequence[int]] = []
    for query in queries:
        if frame + sum(len(other) + 1 for other in (*kept, query)) <= longest:
            kept.append(query)
    _make_room(segments, longest - frame - sum(len(query) + 1 for query in kept), between)
    if teacher.construction == "append":
        segments.append(join_on(kept, between))
    else:
        for query in kept:
            present = [n for n, segment in enumerate(segments) if segment]
            where = HISTORIES
            if teacher.construction != "histories" and present:
                where = present[int(rng.integers(len(present)))]
            segments[where] = _insert(segments[where], query, where in _FREE_TEXT, alphabet, rng)
    return join_segments(segments, special["bos"], special["sep"], special["eos"])


def _insert(
    segment: list[int], query: Sequence[int], free_text: bool, alphabet: Alphabet, rng: np.random.Generator
) -> list[int]:
    """Insert a query between two words of a text, or between two queries of a list."""
    if free_text:
        words = [list(word) for word in alphabet.words(segment)]
        words.insert(int(rng.integers(len(words) + 1)), list(query))
        return [token for word in words for token in word]
    entries = split_on(segment, alphabet.between) if segment else []
    entries.insert(int(rng.integers(len(entries) + 1)), list(query))
    return join_on(entries, alphabet.between)


def _make_room(segments: list[list[int]], room: int, between: int) -> None:
    """Cut segments until they have `room` tokens in all."""
    for where in (HISTORIES, ANCHORS):
        entries = split_on(segments[where], between) if segments[where] else []
        while entries and sum(map(len, segments)) > room:
            entries.pop()
            segments[where] = join_on(entries, between)
    for where in (len(segments) - 1, 1, 0):
        over = sum(map(len, segments)) - room
        if over > 0:
            segments[where] = segments[where][: max(len(segments[where]) - over, 0)]


def _masked(query: Sequence[int], alphabet: Alphabet, ratio: float, rng: np.random.Generator) -> list[int]:
    """Replace each word by <mask> with the chance `ratio`."""
    words = alphabet.words(query)
    masked = rng.random(len(words)) < ratio
    mask = (alphabet.special["mask"],)
    return [token for word, hide in zip(words, masked, strict=True) for token in (mask if hide else word)]
