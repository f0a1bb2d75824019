from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from evidence.render import RenderBudgets
from training.config import FieldDropout
from training.data import IGNORED_LABEL, Ragged, collate, drop_fields, load_examples, plan_batches
from training.errors import DataError

SEP = 5
NEVER = FieldDropout(text=0, summary=0, anchors=0, histories=0, personal=0, all_but_text=0)


def load(path: Path, tokenizer: Tokenizer, cache: Path, longest: int = 16):  # type: ignore[no-untyped-def]
    return load_examples(path, tokenizer, RenderBudgets(), longest, cache)


def test_ragged_rows_come_back_and_pad() -> None:
    ragged = Ragged.from_lists([[1, 2, 3], [], [4]])
    assert [row.tolist() for row in (ragged[0], ragged[1], ragged[2])] == [[1, 2, 3], [], [4]]
    assert ragged.padded(np.array([2, 0]), pad=9).tolist() == [[4, 9, 9], [1, 2, 3]]
    assert ragged.take([2, 2]).values.tolist() == [4, 4]


def test_collate_shifts_targets_and_masks_only_when_padded() -> None:
    sources, targets = (
        Ragged.from_lists([[0, 7, 2], [0, 8, 2], [0, 2]]),
        Ragged.from_lists([[11, 12, 2], [13, 2], [6, 2]]),
    )
    batch = collate(sources, targets, np.array([0, 1]), pad=1, start=2)
    assert batch.source_mask is None
    assert batch.decoder_input.tolist() == [[2, 11, 12], [2, 13, 2]]
    assert batch.labels.tolist() == [[11, 12, 2], [13, 2, IGNORED_LABEL]]
    uneven = collate(sources, targets, np.array([0, 2]), pad=1, start=2)
    assert uneven.source_mask is not None
    assert uneven.source_mask.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_decoder_input_holds_pad_where_labels_are_ignored() -> None:
    targets = Ragged.from_lists([[11, 12, 13, 2], [2]])
    batch = collate(Ragged.from_lists([[0, 2]] * 2), targets, np.array([0, 1]), pad=1, start=2)
    assert batch.decoder_input.tolist() == [[2, 11, 12, 13], [2, 2, 1, 1]]


def test_every_row_is_in_one_batch_and_batches_are_of_one_length() -> None:
    lengths = np.random.default_rng(0).integers(10, 14, size=400)
    plan = plan_batches(lengths, np.full(400, 3), 16, np.random.default_rng(1))
    assert sorted(np.concatenate(plan).tolist()) == list(range(400))
    mixed = sum(len(set(lengths[rows].tolist())) > 1 for rows in plan)
    assert mixed <= 3


def test_the_plan_is_a_function_of_its_generator() -> None:
    lengths = np.arange(50) % 7
    one, two = (plan_batches(lengths, lengths, 8, np.random.default_rng(4)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))


#                       T    |    M    | anchors | histories | P
FULL = [0, 10, 11, SEP, 20, SEP, 30, 31, SEP, 40, SEP, 50, 2]
ONLY_TEXT = [0, 10, SEP, SEP, SEP, SEP, 2]


def test_a_dropped_field_leaves_its_separators() -> None:
    rates = FieldDropout(text=0, summary=1, anchors=0, histories=1, personal=0, all_but_text=0)
    dropped = drop_fields(Ragged.from_lists([FULL]), np.array([False]), rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == [0, 10, 11, SEP, SEP, 30, 31, SEP, SEP, 50, 2]


def test_no_rate_changes_nothing() -> None:
    sources = Ragged.from_lists([FULL, ONLY_TEXT])
    dropped = drop_fields(sources, np.array([False, False]), NEVER, SEP, np.random.default_rng(0))
    assert dropped.values.tolist() == sources.values.tolist()
    assert dropped.offsets.tolist() == sources.offsets.tolist()


def test_the_last_field_that_is_left_is_kept() -> None:
    rates = FieldDropout(text=1, summary=1, anchors=1, histories=1, personal=1, all_but_text=0)
    dropped = drop_fields(Ragged.from_lists([ONLY_TEXT]), np.array([False]), rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == ONLY_TEXT


def test_all_but_text_makes_a_cold_video() -> None:
    rates = FieldDropout(text=0, summary=0, anchors=0, histories=0, personal=0, all_but_text=1)
    dropped = drop_fields(Ragged.from_lists([FULL]), np.array([False]), rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == [0, 10, 11, SEP, SEP, SEP, SEP, 2]


def test_a_reject_example_keeps_text_and_summary() -> None:
    rates = FieldDropout(text=1, summary=1, anchors=1, histories=1, personal=1, all_but_text=1)
    dropped = drop_fields(Ragged.from_lists([FULL]), np.array([True]), rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == [0, 10, 11, SEP, 20, SEP, SEP, SEP, 2]


def test_about_the_given_share_is_dropped() -> None:
    rates = FieldDropout(text=0, summary=0.3, anchors=0, histories=0, personal=0, all_but_text=0)
    sources = Ragged.from_lists([FULL] * 4000)
    dropped = drop_fields(sources, np.zeros(4000, dtype=bool), rates, SEP, np.random.default_rng(0))
    assert np.mean(dropped.lengths < len(FULL)) == pytest.approx(0.3, abs=0.03)


def test_examples_are_rendered_with_their_targets(examples_dir: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    packed = load(examples_dir / "examples_train.parquet", tokenizer, tmp_path / "cache")
    assert len(packed) == 48
    assert packed.is_reject.sum() == 8
    assert packed.targets[47].tolist() == [6, 2]
    assert tokenizer.decode(packed.targets[0][:-1].tolist()).strip() == "uladika camping chair"
    assert (packed.sources.values == SEP).sum() == 4 * 48


def test_a_second_load_reads_the_cache(examples_dir: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    path, cache = examples_dir / "examples_train.parquet", tmp_path / "cache"
    first = load(path, tokenizer, cache)
    (cached,) = cache.iterdir()
    written = cached.stat().st_mtime_ns
    again = load(path, tokenizer, cache)
    assert cached.stat().st_mtime_ns == written
    assert again.sources.values.tolist() == first.sources.values.tolist()
    load(path, tokenizer, cache, longest=5)
    assert len(list(cache.iterdir())) == 2


def test_targets_that_cannot_be_generated_are_left_out(
    example: Any, write_examples: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    rows = [example(0), example(1, target="a " * 40), example(2, target="  ")]
    path = write_examples(tmp_path / "x.parquet", rows)
    assert len(load(path, tokenizer, tmp_path / "cache")) == 1


def test_a_missing_file_and_a_missing_column_are_named(
    example: Any, write_examples: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="onebar offline examples"):
        load(tmp_path / "none.parquet", tokenizer, tmp_path)
    rows = [{k: v for k, v in example(0).items() if k != "target"}]
    with pytest.raises(DataError, match="no column target"):
        load(write_examples(tmp_path / "x.parquet", rows), tokenizer, tmp_path)


def test_batches_are_int64_for_embedding_look_ups(examples_dir: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    packed = load(examples_dir / "examples_train.parquet", tokenizer, tmp_path / "cache")
    batch = collate(packed.sources, packed.targets, np.arange(4), 1, 2)
    assert batch.source.dtype == batch.labels.dtype == torch.int64


def test_examples_that_are_no_parquet_are_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "examples_train.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(DataError, match=r"examples_train\.parquet cannot be read as Parquet"):
        load(path, tokenizer, tmp_path)
