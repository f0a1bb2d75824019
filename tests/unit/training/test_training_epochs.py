"""Epochs opened ahead are the same epochs, and a part of an epoch is part of a whole one."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from evidence.render import RenderBudgets
from tests.unit.training.short_run import run
from training.augmentation import Alphabet
from training.config import FieldDropout, OptimConfig, RuntimeConfig, SftConfig
from training.data import PackedExamples, load_examples
from training.epochs import open_epochs
from training.errors import ConfigError, DataError
from training.model import choose_device
from training.sft import open_epoch

PLAIN = SftConfig(
    optim=OptimConfig(batch_size=8),
    field_dropout=FieldDropout(0, 0, 0, 0, 0, 0),
    substitution=0.0,
    answer_removal=0.0,
    weak_evidence=0.0,
    unknown_words=0.0,
)


@pytest.fixture
def examples(examples_dir: Path, tokenizer: Tokenizer, tmp_path: Path) -> PackedExamples:
    return load_examples(examples_dir / "examples_train.parquet", tokenizer, RenderBudgets(), 16, tmp_path)


def pairs(examples: PackedExamples, config: SftConfig, alphabet: Alphabet, epoch: int) -> list[tuple[str, str]]:
    """The (source, target) pairs of an epoch, sorted."""
    batches = open_epoch(examples, config, alphabet, epoch)
    found = []
    for batch in batches:
        sources = range(len(batch.labels)) if batch.source_of is None else batch.source_of.tolist()
        for source, label in zip(sources, batch.labels, strict=True):
            found.append((str(batch.source[source].tolist()), str(label.tolist())))
    return sorted((source.replace(", 1", ""), target.replace(", -100", "")) for source, target in found)


def test_the_parts_of_an_epoch_are_the_whole_and_are_drawn_again(
    examples: PackedExamples, tokenizer: Tokenizer
) -> None:
    alphabet = Alphabet.of(tokenizer)
    whole = pairs(examples, PLAIN, alphabet, 0)
    in_parts = replace(PLAIN, epoch_examples=16)
    first = [pairs(examples, in_parts, alphabet, epoch) for epoch in range(3)]
    assert all(0 < len(part) < len(whole) for part in first)
    assert sorted(pair for part in first for pair in part) == whole
    second = [pairs(examples, in_parts, alphabet, epoch) for epoch in range(3, 6)]
    assert sorted(pair for part in second for pair in part) == whole
    assert second != first


def test_an_epoch_without_examples_is_refused(examples: PackedExamples, tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="epoch_examples must be at least 1, got 0"):
        open_epoch(examples, replace(PLAIN, epoch_examples=0), Alphabet.of(tokenizer), 0)


def test_rows_that_may_share_a_source_are_in_one_part(examples: PackedExamples, tokenizer: Tokenizer) -> None:
    joined = PackedExamples(examples.sources, examples.targets, examples.is_reject, np.arange(len(examples)) // 6)
    config = replace(PLAIN, epoch_examples=16)
    parts = [open_epoch(joined, config, Alphabet.of(tokenizer), epoch) for epoch in range(3)]
    assert all(len(part.targets) % 6 == 0 for part in parts)


@pytest.mark.parametrize("workers", [1, 2])
def test_epochs_of_other_processes_are_the_same_in_order(
    examples: PackedExamples, tokenizer: Tokenizer, workers: int
) -> None:
    alphabet = Alphabet.of(tokenizer)

    def opened(epoch_workers: int) -> list[list[list[int]]]:
        runtime = RuntimeConfig(device="cpu", epoch_workers=epoch_workers)
        epochs = open_epochs(
            lambda n: open_epoch(examples, SftConfig(), alphabet, n), 2, 1, choose_device(runtime), runtime
        )
        return [[batch.source.tolist() for batch in epoch] for epoch in islice(epochs, 4)]

    assert opened(workers) == opened(0)


def test_a_run_with_epochs_opened_ahead_takes_the_same_steps(
    examples_dir: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    def losses(name: str, workers: int) -> list[float]:
        records = run(examples_dir, tokenizer_file, tmp_path / name, workers, batch_size=16, max_steps=8)
        return [record["loss"] for record in records]

    assert losses("ahead", 2) == losses("in-place", 0)


def test_a_failure_in_another_process_keeps_its_kind_and_a_negative_number_is_refused() -> None:
    def failing(number: int) -> list[int]:
        raise DataError(f"epoch {number} is no epoch")

    runtime = RuntimeConfig(device="cpu", epoch_workers=1)
    device = choose_device(runtime)
    with pytest.raises(DataError, match="epoch 0 is no epoch"):
        next(open_epochs(failing, 0, 1, device, runtime))  # type: ignore[type-var]
    with pytest.raises(ConfigError, match=r"runtime\.epoch_workers must be at least 0, got -1"):
        next(open_epochs(failing, 0, 1, device, replace(runtime, epoch_workers=-1)))  # type: ignore[type-var]
