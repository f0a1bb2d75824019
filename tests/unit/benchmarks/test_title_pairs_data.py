"""The benchmark on title pairs: the file, its split and its anchors."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the imported packages
    import sentence_transformers  # noqa: F401

from benchmarks.title_pairs.anchors import TFIDF, tfidf_queries, train, training_anchors
from benchmarks.title_pairs.embedder import Recipe
from benchmarks.title_pairs.examples import ANCHORS, training_texts, write_training
from benchmarks.title_pairs.pairs import Split, read_pairs, split_training
from evaluation.baselines import TitleNeighbours
from evaluation.errors import InputError
from evaluation.inputs import TitledQuery
from evidence.rows import EVIDENCE_COLUMNS
from tests.fixtures.title_pairs import HEADER, shop_lines, write_pairs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.tsv.gz", shop_lines())


@pytest.fixture
def train_pairs(file: Path) -> list[TitledQuery]:
    return read_pairs(file)["train"]


# The file


def test_the_positives_are_read_cleaned_and_case_folded(file: Path) -> None:
    pairs = read_pairs(file)
    assert {split: len(found) for split, found in pairs.items()} == {"train": 60, "dev": 12}
    assert pairs["train"][0] == TitledQuery("uladika camping chair no. 0", "uladika camping chair", "0")
    assert not [pair for found in pairs.values() for pair in found if pair.query == "garden hose"]


def test_a_query_of_an_item_counts_once(tmp_path: Path) -> None:
    lines = ["train\t1\tRed Tent\tTENT\t3", "train\t1\tRed Tent\t tent \t2.5", "train\t2\tRed Tent\ttent\t3"]
    pairs = read_pairs(write_pairs(tmp_path / "f.gz", [*lines, "dev\t3\tTent\ttent\t3"]))
    assert [(pair.item, pair.query) for pair in pairs["train"]] == [("1", "tent"), ("2", "tent")]


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        (HEADER.replace("\tquery", ""), [], "no column query"),
        (HEADER, [], "no positive pair in the split train"),
        (HEADER, ["train\t1\ttent\ttent\t3"], "no positive pair in the split dev"),
        (HEADER, ["train\t1\ttent\ttent\t2"], "no positive pair in the split train"),
        (HEADER, ["train\t1\ttent\ttent\tgood"], "line 2: relevance must be a number, got 'good'"),
        (HEADER, ["test\t1\ttent\ttent\t3"], "line 2: split must be one of train, dev, got 'test'"),
        (HEADER, ["train\t1\ttent"], "line 2 has too few columns"),
        (HEADER, ["train\t1\ttent\ttent\t3", "dev\t1\ttent\ttent\t3"], "the item 1 in both splits"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, header: str, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_pairs(write_pairs(tmp_path / "pairs.tsv.gz", lines, header))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(HEADER.encode(), id="no gzip"),
        pytest.param(b"", id="empty"),
        pytest.param(gzip.compress(HEADER.encode() * 9)[:-12], id="cut"),
        pytest.param(gzip.compress(HEADER.encode() + b"\ntrain\t1\t\xff\ttent\t3"), id="no UTF-8"),
    ],
)
def test_a_file_that_is_no_gzip_of_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pairs.tsv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"(cannot be read as a gzip-compressed TSV|has no column split)"):
        read_pairs(path)


# The split


def test_training_validation_and_held_out_queries_are_disjoint(train_pairs: list[TitledQuery]) -> None:
    split = split_training(train_pairs, 0.2, seed=1)
    assert split.held_out
    assert split.valid
    assert not {pair.item for pair in split.train} & {pair.item for pair in split.valid}
    assert not split.held_out & {pair.query for pair in [*split.train, *split.valid]}
    dropped = [pair for pair in train_pairs if pair.query in split.held_out]
    assert len(split.train) + len(split.valid) + len(dropped) == len(train_pairs)


def test_the_share_is_of_the_distinct_queries(train_pairs: list[TitledQuery]) -> None:
    queries = {pair.query for pair in train_pairs}
    assert len(split_training(train_pairs, 0.2, seed=1).held_out) == round(0.2 * len(queries))
    assert not split_training(train_pairs, 0.0, seed=1).held_out


def test_a_seed_gives_the_same_split_again(train_pairs: list[TitledQuery]) -> None:
    assert split_training(train_pairs, 0.2, seed=1) == split_training(train_pairs, 0.2, seed=1)
    assert split_training(train_pairs, 0.2, seed=1).held_out != split_training(train_pairs, 0.2, seed=2).held_out


def test_one_item_is_too_few_to_train_and_to_validate() -> None:
    with pytest.raises(InputError, match="1 items are left"):
        split_training([TitledQuery("tent", "tent", "1")], 0.0, seed=1)


# Anchors


@pytest.mark.parametrize("kind", [TFIDF, "fused"])
def test_held_out_queries_are_in_no_training_source_target_or_tokenizer_text(
    train_pairs: list[TitledQuery], tmp_path: Path, kind: str
) -> None:
    split = split_training(train_pairs, 0.2, seed=1)
    recipe = Recipe(epochs=1)
    write_training(tmp_path, split, *training_anchors(kind, split, train(split, recipe), recipe))
    rows = [
        row for name in ("train", "valid") for row in pq.read_table(tmp_path / f"examples_{name}.parquet").to_pylist()
    ]
    used = {row["target"] for row in rows} | {anchor for row in rows for anchor in row["anchors"]}
    assert len(rows) == len(split.train) + len(split.valid)
    assert any(row["anchors"] for row in rows)
    assert not used & split.held_out
    assert not split.held_out & set(training_texts(split))


def test_held_out_queries_can_be_anchors_of_the_dev_split(file: Path) -> None:
    pairs = read_pairs(file)
    split = split_training(pairs["train"], 0.2, seed=1)
    anchors = tfidf_queries(TitleNeighbours(pairs["train"]), pairs["dev"], ANCHORS)
    assert split.held_out & {anchor for found in anchors for anchor in found}


def test_no_anchor_of_the_baseline_comes_from_the_pairs_of_its_own_item(train_pairs: list[TitledQuery]) -> None:
    anchors = tfidf_queries(TitleNeighbours(train_pairs), train_pairs, ANCHORS)
    assert max(len(found) for found in anchors) == 16
    for pair, found in zip(train_pairs, anchors, strict=True):
        assert set(found) <= {other.query for other in train_pairs if other.item != pair.item}


def test_the_embedder_of_a_train_pair_has_not_seen_its_item(
    train_pairs: list[TitledQuery], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fold is answered by an embedder of the pairs of the other folds, and every pair is answered once."""
    split = split_training(train_pairs, 0.0, seed=1)
    trained = train(split, Recipe(epochs=1))
    seen: list[set[str]] = []
    asked: list[set[str]] = []

    def note_training(split: Split, pairs: Sequence[TitledQuery], recipe: Recipe) -> object:
        seen.append({pair.item for pair in pairs})
        return trained.embedder

    def note_answers(
        store: object, pairs: Sequence[TitledQuery], weights: dict[str, object], count: int
    ) -> dict[str, list[list[str]]]:
        asked.append({pair.item for pair in pairs})
        return {name: [[pair.item] for pair in pairs] for name in weights}

    monkeypatch.setattr("benchmarks.title_pairs.anchors.train_embedder", note_training)
    monkeypatch.setattr("benchmarks.title_pairs.anchors.retrieve", note_answers)
    anchors, valid = training_anchors("fused", split, trained, Recipe(), folds=3)
    assert anchors == [[pair.item] for pair in split.train]
    assert valid == [[pair.item] for pair in split.valid]
    folds = asked[1:]  # after the validation pairs
    everything = {pair.item for pair in split.train}
    assert sorted(map(len, folds)) == sorted(map(len, map(everything.difference, seen)))
    for fold, others in zip(folds, seen, strict=True):
        assert (fold | others, fold & others) == (everything, set())


def test_the_files_have_the_columns_of_offline_examples(train_pairs: list[TitledQuery], tmp_path: Path) -> None:
    split = split_training(train_pairs, 0.1, seed=1)
    write_training(tmp_path, split, [["tent"]] * len(split.train), [[]] * len(split.valid))
    table = pq.read_table(tmp_path / "examples_train.parquet")
    assert table.schema.names == ["kind", "target", *EVIDENCE_COLUMNS]
    assert table.column("title").to_pylist() == [pair.title for pair in split.train]
    assert table.column("anchors").to_pylist() == [["tent"]] * len(split.train)
    assert set(table.column("kind").to_pylist()) == {"click"}
