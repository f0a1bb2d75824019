from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from evidence.render import RenderBudgets
from training.data import PackedExamples, Ragged, load_examples
from training.errors import DataError

SEP = 5


def load(path: Path, tokenizer: Tokenizer, cache: Path, longest: int = 16):  # type: ignore[no-untyped-def]
    return load_examples(path, tokenizer, RenderBudgets(), longest, cache)


def test_ragged_rows_come_back_and_pad() -> None:
    ragged = Ragged.from_lists([[1, 2, 3], [], [4]])
    assert [row.tolist() for row in (ragged[0], ragged[1], ragged[2])] == [[1, 2, 3], [], [4]]
    assert ragged.padded(np.array([2, 0]), pad=9).tolist() == [[4, 9, 9], [1, 2, 3]]
    assert ragged.take([2, 2]).values.tolist() == [4, 4]


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


def test_examples_that_are_no_parquet_are_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "examples_train.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(DataError, match=r"examples_train\.parquet cannot be read as Parquet"):
        load(path, tokenizer, tmp_path)


def test_rows_that_differ_in_personal_queries_only_have_one_evidence(
    example: Any, write_examples: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    rows = [
        example(0, personal=[]),
        example(0, personal=["camping chair"], target="black chair"),
        example(0, personal=[], anchors=["another anchor"]),
        example(0, personal=[], kind="reject"),
    ]
    packed = load(write_examples(tmp_path / "x.parquet", rows), tokenizer, tmp_path)
    assert packed.evidence.tolist() == [0, 0, 1, 2]
    assert packed.has_personal(SEP).tolist() == [False, True, False, False]


def test_shops_are_joined_without_sharing_evidence() -> None:
    rows = Ragged.from_lists([[1, 2], [3]])
    shop = PackedExamples(rows, rows, np.array([False, True]), np.array([0, 1]))
    both = PackedExamples.join([shop, shop])
    assert both.evidence.tolist() == [0, 1, 2, 3]
    assert [both.sources[row].tolist() for row in range(4)] == [[1, 2], [3], [1, 2], [3]]
    assert both.is_reject.tolist() == [False, True, False, True]


def test_rows_are_replaced_by_longer_and_shorter_ones() -> None:
    rows = Ragged.from_lists([[1, 2], [3], [4, 5, 6]])
    new = rows.replaced({0: [7, 8, 9], 2: []})
    assert [new[n].tolist() for n in range(3)] == [[7, 8, 9], [3], []]
    assert [rows[n].tolist() for n in range(3)] == [[1, 2], [3], [4, 5, 6]]
