"""The benchmark on title pairs: its split, its anchors, its figures and its command. The pairs are made by hand."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the imported packages
    import sentence_transformers  # noqa: F401

from benchmarks.title_pairs.__main__ import main
from benchmarks.title_pairs.anchors import TFIDF, tfidf_queries, train, training_anchors
from benchmarks.title_pairs.embedder import Recipe
from benchmarks.title_pairs.examples import ANCHORS, example_rows, training_texts, write_training
from benchmarks.title_pairs.figures import group_masks, hit_rates, paired_differences, reading_recall
from benchmarks.title_pairs.pairs import Split, read_pairs, split_training
from evaluation.baselines import TitleNeighbours
from evaluation.errors import InputError
from evaluation.inputs import TitledQuery
from evidence.rows import EVIDENCE_COLUMNS

BRANDS = ("Uladika", "Fenago", "Solmir", "Junra", "Tevoka", "Marbel")
THINGS = ("camping chair", "electric kettle", "power bank", "desk lamp", "yoga mat")
HEADER = "split\tproduct_uid\ttitle\tquery\trelevance"


def shop_lines() -> list[str]:
    """Thirty train items and six dev items, two positives and one negative each."""
    lines = []
    for number in range(36):
        brand, thing = BRANDS[number % 6], THINGS[number % 5]
        split, title = ("train", "dev")[number >= 30], f"{brand} {thing.title()} No. {number}"
        lines += [
            f"{split}\t{number}\t{title}\t{brand} {thing}\t3.0",
            f"{split}\t{number}\t{title}\t{thing} {number % 7} inch\t2.33",
            f"{split}\t{number}\t{title}\tgarden hose\t1.67",
        ]
    return lines


def write(path: Path, lines: Sequence[str], header: str = HEADER) -> Path:
    path.write_bytes(gzip.compress("\n".join([header, *lines, ""]).encode()))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "pairs.tsv.gz", shop_lines())


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
    pairs = read_pairs(write(tmp_path / "f.gz", [*lines, "dev\t3\tTent\ttent\t3"]))
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
        read_pairs(write(tmp_path / "pairs.tsv.gz", lines, header))


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


# Figures


def test_every_dev_pair_is_in_one_group() -> None:
    dev = [TitledQuery("t", query, str(n)) for n, query in enumerate(("a", "b", "c"))]
    split = Split(train=[TitledQuery("t", "a", "x")], valid=[], held_out=frozenset("b"))
    masks = {name: mask.tolist() for name, mask in group_masks(dev, split).items()}
    assert masks == {
        "all": [True, True, True],
        "seen": [True, False, False],
        "held_out": [False, True, False],
        "other": [False, False, True],
    }


def test_hits_are_counted_exactly_and_within_two_edits_by_group() -> None:
    dev = [TitledQuery("t", query, str(n)) for n, query in enumerate(("tent", "bike", "lamp", "mat"))]
    groups = {"all": np.ones(4, bool), "none": np.zeros(4, bool)}
    found = hit_rates(dev, {"generator": [["tent"], ["x", "bike"], ["lamps"], []]}, groups)
    figures = {label: figure["mean"] for label, figure in found["all"]["generator"].items()}
    assert figures == {"hr@8": 0.5, "mrr@8": 0.375, "within_two_edits@8": 0.75}
    assert found["none"] == {"pairs": 0}


def test_reading_recall_is_over_the_targets_in_the_source() -> None:
    dev = [TitledQuery("t", query, str(n)) for n, query in enumerate(("a", "b", "c", "d"))]
    readable = [frozenset("a"), frozenset("bx"), frozenset("c"), frozenset("x")]
    found = reading_recall(
        dev, readable, [["A"], ["b"], [], ["d"]], "tfidf", [["a"], ["x"], ["c"], []], {"all": np.ones(4, bool)}
    )
    assert found["all"] == {
        "in_source": 3,
        "share": 0.75,
        "generator": 0.6667,
        "tfidf": 0.6667,
        "beyond_eight": {"in_source": 1, "generator": 1.0},
    }


def test_a_paired_difference_is_that_of_the_hits_on_the_same_pairs() -> None:
    dev = [TitledQuery("t", query, str(n)) for n, query in enumerate(("a", "b", "c", "d"))]
    groups = {"all": np.ones(4, bool), "first": np.array([True, False, False, False]), "none": np.zeros(4, bool)}
    retrieved = {"tfidf": [["a"], [], [], []], "fused": [["a"], ["b"], [], []]}
    found = paired_differences(dev, [["a"], ["b"], ["c"], []], retrieved, groups)
    assert found["best_retrieval"] == "fused"
    assert {name: figure["mean"] for name, figure in found["all"].items()} == {"tfidf": 0.5, "fused": 0.25}
    assert found["all"]["fused"]["interval"][0] <= 0.25 <= found["all"]["fused"]["interval"][1]
    assert found["first"]["fused"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    assert found["none"]["fused"]["mean"] == 0.0


# The command

TINY = (
    "model.encoder_layers=1", "model.decoder_layers=1", "model.d_model=16", "model.ffn_dim=16",
    "model.attention_heads=2", "optim.max_steps=4", "validation.every_steps=100", "validation.click_examples=2",
    "optim.batch_size=16", "runtime.threads=1", "runtime.precision=fp32", "runtime.device=cpu",
)  # fmt: skip


def options(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture
def command(file: Path) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main, [str(file), *options(TINY), *arguments])


def test_the_baseline_alone_needs_no_training(command: Callable[..., Result], tmp_path: Path) -> None:
    result = command("--baseline-only", "--work", str(tmp_path / "work"))
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert set(report["groups"]["all"]) == {"pairs", "tfidf"}
    assert not (tmp_path / "work").exists()


def test_a_preparation_is_what_a_run_continues_from(command: Callable[..., Result], tmp_path: Path) -> None:
    work = tmp_path / "work"
    prepared = command("--anchors", "fused", "--work", str(work), "--prepare-only")
    assert prepared.exit_code == 0, prepared.output
    report = json.loads(prepared.stdout)
    assert report["protocol"]["anchors_by"] == "fused"
    assert set(report["retrieval"]["weights"]) == {"embedder", "fused"}
    assert set(report["retrieval"]["share_with_target"]) == {"train", "valid", "dev"}
    assert set(report["groups"]["all"]) == {"pairs", "tfidf", "embedder", "fused"}
    assert not (work / "checkpoint").exists()
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}

    run = json.loads(command("--anchors", "fused", "--work", str(work)).stdout)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert set(run["groups"]["all"]) == {"pairs", "tfidf", "embedder", "fused", "generator"}
    assert set(run["paired"]["all"]) == {"tfidf", "embedder", "fused"}
    assert run["reading"]["all"]["fused"] is not None
    other = command("--anchors", "embedder", "--work", str(work), "--resume")
    assert "have anchors_by 'fused', not 'embedder'" in other.stderr


def test_a_run_trains_tests_resumes_and_starts_another(command: Callable[..., Result], tmp_path: Path) -> None:
    work, output = tmp_path / "work", tmp_path / "result.json"
    first = command("--work", str(work), "--output", str(output))
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    assert report == json.loads(output.read_text(encoding="utf-8"))
    assert report["training"]["steps"] == 4
    assert report["groups"]["all"]["pairs"] == 12
    assert set(report["groups"]["all"]["generator"]) == {"hr@8", "mrr@8", "within_two_edits@8"}
    assert report["reading"]["all"]["in_source"] > 0
    assert report["targets_without_evidence"]["all"]["pairs"] == 5  # inches that no item of training has
    assert set(report["targets_without_evidence"]["all"]) == {"pairs", "generator"}

    refused = command("--work", str(work))
    assert refused.exit_code == 1
    assert "already has a run; give --resume" in refused.stderr
    other = command("--work", str(work), "--resume", "--held-out-share", "0")
    assert "have held_out_share 0.1, not 0.0" in other.stderr

    resumed = json.loads(command("--work", str(work), "--resume").stdout)
    assert resumed["groups"] == report["groups"]

    # The budgets of the checkpoint are other ones than those of this run.
    adapted = command("--init-from", str(work / "checkpoint"), "--set", "render.text=20")
    assert adapted.exit_code == 0, adapted.output
    assert json.loads(adapted.stdout)["protocol"]["init_from"] == "checkpoint"


def test_what_a_model_has_learnt_is_counted(tmp_path: Path) -> None:
    """With one query for every item, a few steps are enough to know it."""
    lines = [f"{'train' if n < 20 else 'dev'}\t{n}\tRed {THINGS[n % 5]}\tGarden Hose\t3" for n in range(25)]
    settings = (*TINY, "optim.max_steps=100", "optim.learning_rate=0.02", "optim.warmup_steps=1")
    file = write(tmp_path / "pairs.tsv.gz", lines)
    result = CliRunner().invoke(main, [str(file), *options(settings), "--held-out-share", "0"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    hit = {"mean": 1.0, "interval": [1.0, 1.0]}
    assert report["groups"]["seen"]["generator"] == {"hr@8": hit, "mrr@8": hit, "within_two_edits@8": hit}
    assert report["reading"]["seen"]["generator"] == 1.0


def test_a_checkpoint_with_too_few_positions_is_refused(command: Callable[..., Result], tmp_path: Path) -> None:
    work = tmp_path / "work"
    short = ("render.text=20", "render.anchors=30", "render.max_source_tokens=56", "model.max_positions=56")
    assert command("--work", str(work), *options(short)).exit_code == 0
    refused = command("--init-from", str(work / "checkpoint"))
    assert refused.exit_code == 1
    assert "has 56 positions, render.max_source_tokens is 114" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--prepare-only"], 2, "--prepare-only needs a folder to write to; give --work"),
        (["--resume"], 2, "--resume needs the folder of the run; give --work"),
        (["--set", "optim.speed=1"], 1, "unknown key optim.speed"),
    ],
)
def test_options_that_cannot_be_used_are_named(
    command: Callable[..., Result], arguments: list[str], status: int, message: str
) -> None:
    result = command(*arguments)
    assert (result.exit_code, message in result.stderr) == (status, True)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(write(tmp_path / "empty.gz", [])), "--baseline-only"])
    assert result.exit_code == 1
    assert "empty.gz has no positive pair" in result.stderr


def test_the_evidence_of_a_row_is_its_title_and_its_anchors() -> None:
    [row] = example_rows([TitledQuery("red tent", "tent", "1")], [["camping tent"]])
    assert (row["target"], row["title"], row["anchors"]) == ("tent", "red tent", ["camping tent"])
    assert not [name for name in EVIDENCE_COLUMNS if name not in ("title", "anchors") and row[name]]
