from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from evidence.render import RenderBudgets
from training.batches import IGNORED_LABEL, collate, drop_fields, plan_batches, share_sources
from training.config import FieldDropout
from training.data import Ragged, load_examples

SEP = 5
NO = np.array([False])
NEVER = FieldDropout(text=0, summary=0, anchors=0, histories=0, personal=0, all_but_text=0)


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


def test_batches_of_a_step_are_of_one_length_and_the_rest_comes_last() -> None:
    lengths = np.repeat(np.arange(10, 17), 8)  # 14 batches of 4, two of each length
    left_over = set()
    for seed in range(20):
        plan = plan_batches(lengths, lengths, 4, np.random.default_rng(seed), together=4)
        assert sorted(np.concatenate(plan).tolist()) == list(range(56))
        steps = [np.concatenate(plan[start : start + 4]) for start in (0, 4, 8)]
        assert all(np.ptp(lengths[rows]) <= 1 for rows in steps)
        left_over |= set(lengths[np.concatenate(plan[12:])].tolist())
    assert len(left_over) > 2


#                       T    |    M    | anchors | histories | P
FULL = [0, 10, 11, SEP, 20, SEP, 30, 31, SEP, 40, SEP, 50, 2]
ONLY_TEXT = [0, 10, SEP, SEP, SEP, SEP, 2]


def test_a_dropped_field_leaves_its_separators() -> None:
    rates = FieldDropout(text=0, summary=1, anchors=0, histories=1, personal=0, all_but_text=0)
    dropped = drop_fields(Ragged.from_lists([FULL]), NO, NO, rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == [0, 10, 11, SEP, SEP, 30, 31, SEP, SEP, 50, 2]


def test_no_rate_changes_nothing() -> None:
    sources = Ragged.from_lists([FULL, ONLY_TEXT])
    dropped = drop_fields(
        sources, np.array([False, False]), np.array([False, False]), NEVER, SEP, np.random.default_rng(0)
    )
    assert dropped.values.tolist() == sources.values.tolist()
    assert dropped.offsets.tolist() == sources.offsets.tolist()


def test_the_last_field_that_is_left_is_kept() -> None:
    rates = FieldDropout(text=1, summary=1, anchors=1, histories=1, personal=1, all_but_text=0)
    dropped = drop_fields(Ragged.from_lists([ONLY_TEXT]), NO, NO, rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == ONLY_TEXT


def test_all_but_text_makes_a_cold_video() -> None:
    rates = FieldDropout(text=0, summary=0, anchors=0, histories=0, personal=0, all_but_text=1)
    dropped = drop_fields(Ragged.from_lists([FULL]), NO, NO, rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == [0, 10, 11, SEP, SEP, SEP, SEP, 2]


def test_a_reject_example_keeps_text_and_summary() -> None:
    rates = FieldDropout(text=1, summary=1, anchors=1, histories=1, personal=1, all_but_text=1)
    dropped = drop_fields(Ragged.from_lists([FULL]), ~NO, NO, rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == [0, 10, 11, SEP, 20, SEP, SEP, SEP, 2]


def test_about_the_given_share_is_dropped() -> None:
    rates = FieldDropout(text=0, summary=0.3, anchors=0, histories=0, personal=0, all_but_text=0)
    sources = Ragged.from_lists([FULL] * 4000)
    dropped = drop_fields(sources, NO.repeat(4000), NO.repeat(4000), rates, SEP, np.random.default_rng(0))
    assert np.mean(dropped.lengths < len(FULL)) == pytest.approx(0.3, abs=0.03)


def test_one_source_may_serve_several_targets() -> None:
    sources, targets = Ragged.from_lists([[0, 7, 2], [0, 8, 2]]), Ragged.from_lists([[11, 2], [12, 2], [13, 2]])
    batch = collate(sources, targets, np.array([1, 0]), 1, 2, targets_of=Ragged.from_lists([[0], [2, 1]]))
    assert batch.source.tolist() == [[0, 8, 2], [0, 7, 2]]
    assert batch.source_of is not None
    assert batch.source_of.tolist() == [0, 0, 1]
    assert batch.labels[:, 0].tolist() == [13, 12, 11]


def test_rows_with_one_evidence_share_a_source_up_to_the_most() -> None:
    evidence, alone = np.array([4, 4, 4, 4, 7, 7]), np.array([False, False, False, True, False, False])
    groups = share_sources(evidence, alone, 2, np.random.default_rng(0))
    rows = [sorted(groups[n].tolist()) for n in range(len(groups))]
    assert sorted(row for group in rows for row in group) == [0, 1, 2, 3, 4, 5]
    assert [3] in rows
    assert [4, 5] in rows
    assert sorted(len(group) for group in rows if set(group) <= {0, 1, 2}) == [1, 2]


def test_batches_are_cut_by_their_targets() -> None:
    lengths, counts = np.full(40, 9), np.tile([1, 7], 20)
    plan = plan_batches(lengths, lengths, 16, np.random.default_rng(0), counts)
    assert sorted(np.concatenate(plan).tolist()) == list(range(40))
    assert max(counts[rows].sum() for rows in plan) < 16 + 7


def test_processes_get_batches_of_one_length_at_the_same_time() -> None:
    lengths = np.repeat(np.arange(10, 30), 16)
    plan = plan_batches(lengths, lengths, 8, np.random.default_rng(2), together=2)
    assert len(plan) == 40
    assert all(lengths[plan[n][0]] == lengths[plan[n + 1][0]] for n in range(0, 40, 2))
    assert [lengths[rows[0]] for rows in plan] != sorted(lengths[rows[0]] for rows in plan)


def test_personal_queries_are_dropped_where_told() -> None:
    sources, no = Ragged.from_lists([FULL, FULL]), np.array([False, False])
    dropped = drop_fields(sources, no, np.array([True, False]), NEVER, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == [*FULL[:-2], 2]
    assert dropped[1].tolist() == FULL


def test_personal_queries_of_one_viewer_are_kept_for_no_other() -> None:
    """Where the text is drawn to go as well, the text stays."""
    text_and_personal = [0, 7, SEP, SEP, SEP, SEP, 9, 2]
    sources, no = Ragged.from_lists([text_and_personal]), np.array([False])
    rates = FieldDropout(text=1.0, summary=0, anchors=0, histories=0, personal=0, all_but_text=0)
    dropped = drop_fields(sources, no, ~no, rates, SEP, np.random.default_rng(0))
    assert dropped[0].tolist() == [0, 7, SEP, SEP, SEP, SEP, 2]


def test_batches_are_int64_for_embedding_look_ups(examples_dir: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    packed = load_examples(examples_dir / "examples_train.parquet", tokenizer, RenderBudgets(), 16, tmp_path)
    batch = collate(packed.sources, packed.targets, np.arange(4), 1, 2)
    assert batch.source.dtype == batch.labels.dtype == torch.int64
