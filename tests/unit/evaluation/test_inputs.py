"""Reading and decontaminating held-out examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.errors import InputError
from evaluation.inputs import Example, decontaminate, read_examples


def test_examples_keep_raw_fields_and_clean_them_as_evidence(examples: Callable[..., list[Example]]) -> None:
    [example] = examples(
        {"caption": "road bike #fyp", "summary": "This video shows a bike", "anchors": ["bike  price"]}
    )
    assert example.raw.caption == "road bike #fyp"
    evidence = example.evidence()
    assert (evidence.text, evidence.summary, evidence.anchors) == ("road bike", "a bike", ("bike price",))
    assert example.title == "road bike"


def test_entries_that_contain_the_target_are_dropped_wherever_it_stands(
    examples: Callable[..., list[Example]],
) -> None:
    [example] = examples(
        {
            "target": "Road bike",
            "anchors": ["best road bike 2024", "gravel bike"],
            "histories": ["road  bike", "roadbike"],
            "personal": ["road bike"],
        }
    )
    [clean] = decontaminate([example])
    assert clean.anchors == ("gravel bike",)
    assert clean.histories == ("roadbike",)
    assert clean.personal == ("road bike",)
    assert decontaminate([example], ["personal"])[0].personal == ()


def test_a_limit_draws_the_same_rows_every_time_in_file_order(examples_file: Callable[..., Path]) -> None:
    path = examples_file([{"target": f"query {n}"} for n in range(50)])
    first = [example.example_id for example in read_examples(path, limit=7)]
    assert first == [example.example_id for example in read_examples(path, limit=7)]
    assert first == sorted(first, key=lambda name: int(name[1:]))
    assert first != [example.example_id for example in read_examples(path, limit=7, seed=1)]
    assert len(read_examples(path, limit=500)) == 50


def test_only_the_wanted_kind_is_read(examples_file: Callable[..., Path]) -> None:
    path = examples_file([{"kind": "reject", "target": "[REJECT]"}, {}])
    assert [example.target for example in read_examples(path, kind="click")] == ["road bike"]


def test_files_that_cannot_be_used_are_named(examples_file: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        read_examples(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_examples(tmp_path / "text.parquet")
    pq.write_table(pa.table({"target": ["x"]}), tmp_path / "narrow.parquet")
    with pytest.raises(InputError, match="no column example_id, photo_id"):
        read_examples(tmp_path / "narrow.parquet")
    with pytest.raises(InputError, match="has no reject row"):
        read_examples(examples_file([{}]), kind="reject")
