"""Examples carry the evidence of their own day and nothing that came later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from evidence.tokens import REJECT_TOKEN
from offline.errors import SettingsError
from offline.evidence.embedded_logs import EmbeddedLogs, embed_logs
from offline.evidence.examples import EXAMPLE_SCHEMA, HELD_OUT, ExampleSettings, write_examples
from offline.evidence.safety_labels import label_videos, read_terms

SPLITS = ("train", "valid", "test")
GENEROUS = ExampleSettings(reject_rate=1.0)


def make(embedded: EmbeddedLogs, dataset: Path, out: Path, settings: ExampleSettings = GENEROUS) -> dict[str, pa.Table]:
    """Write the examples of the busy shop, or of the same rows in another folder, and read them."""
    write_examples(embedded, label_videos(embedded.logs, read_terms(dataset, None)), settings, out)
    tables = {name: pq.read_table(out / f"examples_{name}.parquet") for name in SPLITS}
    return {**tables, **{f"shown_{name}": pq.read_table(out / f"shown_{name}.parquet") for name in HELD_OUT}}


@pytest.fixture(scope="module")
def examples(
    busy_logs: EmbeddedLogs, busy_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pa.Table]:
    return make(busy_logs, busy_dataset, tmp_path_factory.mktemp("examples"))


def photos(table: pa.Table, **where: str) -> set[str]:
    for name, value in where.items():
        table = table.filter(pc.equal(table[name], value))
    return set(table["photo_id"].to_pylist())


def test_days_are_split_by_time(examples: dict[str, pa.Table]) -> None:
    assert pc.unique(examples["train"]["day"]).to_pylist() == [1, 2, 3]
    assert pc.unique(examples["valid"]["day"]).to_pylist() == [4]
    assert pc.unique(examples["test"]["day"]).to_pylist() == [5]
    assert all(table.schema.equals(EXAMPLE_SCHEMA) for table in examples.values())


def test_example_ids_are_unique(examples: dict[str, pa.Table]) -> None:
    ids = [name for split in SPLITS for name in examples[split]["example_id"].to_pylist()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("day", [1, 3, 5])
def test_no_leakage(
    day: int, busy_logs: EmbeddedLogs, busy_rows: dict[str, list[dict[str, Any]]], dataset: Callable[..., Path]
) -> None:
    """Evidence as of a day is the same whether the log ends before that day or goes on."""
    past = {name: [row for row in rows if row.get("day", -1) < day] for name, rows in busy_rows.items()}
    until_yesterday = dataset("until_yesterday", **past)
    assert evidence_as_of(busy_logs, day) == evidence_as_of(embed_logs(until_yesterday), day)


def evidence_as_of(embedded: EmbeddedLogs, day: int) -> list[list[list[str]]]:
    logs = embedded.logs
    lists = [*embedded.collaborative(np.arange(logs.num_photos), day), embedded.user_histories(day)]
    strings = [item.to_strings(logs.queries).to_pylist() for item in lists]
    assert all(any(owners) for owners in strings)
    return strings


def test_a_video_has_no_histories_on_the_day_that_it_appears(examples: dict[str, pa.Table]) -> None:
    for split in SPLITS:
        new = examples[split].filter(examples[split]["photo_new"])
        assert new.num_rows
        assert not any(new["histories"].to_pylist())


def test_rejects_are_impressions_of_videos_that_rules_or_reviews_call_unsafe(examples: dict[str, pa.Table]) -> None:
    train = examples["train"]
    assert photos(train, kind="reject", source="rule") <= {"p13", "p21"}
    assert photos(train, kind="reject", source="review") == {"p5"}
    rejects = train.filter(pc.equal(train["kind"], "reject"))
    assert set(rejects["target"].to_pylist()) == {REJECT_TOKEN}


def test_a_review_counts_only_when_it_came_before_the_next_split(examples: dict[str, pa.Table]) -> None:
    """The review of p6 came on day 5, the test day, too late for training and validation."""
    for split in ("train", "valid"):
        assert "p6" not in photos(examples[split], kind="reject")


def test_clicks_on_unsafe_videos_are_no_positives(examples: dict[str, pa.Table]) -> None:
    for split in SPLITS:
        assert not photos(examples[split], kind="click") & {"p5", "p13", "p21"}


def test_the_reject_rate_is_a_ceiling(busy_logs: EmbeddedLogs, busy_dataset: Path, tmp_path: Path) -> None:
    train = make(busy_logs, busy_dataset, tmp_path / "few", ExampleSettings(reject_rate=0.02))["train"]
    clicks = pc.sum(pc.equal(train["kind"], "click")).as_py()
    assert 0 < train.num_rows - clicks <= 0.02 * clicks + 3  # rounded once a day


@pytest.mark.parametrize(("split", "day"), [("valid", 4), ("test", 5)])
def test_every_video_of_a_held_out_day_is_shown_once_without_a_target(
    split: str, day: int, examples: dict[str, pa.Table], busy_rows: dict[str, list[dict[str, Any]]]
) -> None:
    shown = examples[f"shown_{split}"]
    assert pc.unique(shown["day"]).to_pylist() == [day]
    assert sorted(shown["photo_id"].to_pylist()) == sorted(
        {row["photo_id"] for row in busy_rows["impressions"] if row["day"] == day}
    )
    assert set(shown["target"].to_pylist()) == {""}


def test_labels_of_the_examples_before_are_removed(busy_logs: EmbeddedLogs, busy_dataset: Path, tmp_path: Path) -> None:
    before = [tmp_path / f"unsafe_{split}.parquet" for split in HELD_OUT]
    for path in before:
        path.touch()
    make(busy_logs, busy_dataset, tmp_path)
    assert not any(path.exists() for path in before)


def test_the_same_rows_in_another_order_give_the_same_bytes(
    busy_logs: EmbeddedLogs,
    busy_dataset: Path,
    busy_rows: dict[str, list[dict[str, Any]]],
    dataset: Callable[..., Path],
    tmp_path: Path,
) -> None:
    turned = dataset("turned", **{name: rows[::-1] for name, rows in busy_rows.items()})
    make(busy_logs, busy_dataset, tmp_path / "one")
    make(embed_logs(turned), busy_dataset, tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_logs_that_are_too_short_are_refused(busy_logs: EmbeddedLogs, busy_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no training day is left"):
        make(busy_logs, busy_dataset, tmp_path, ExampleSettings(first_day=4))
