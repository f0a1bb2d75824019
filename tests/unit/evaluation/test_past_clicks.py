"""Reading the clicks of earlier days."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.errors import InputError
from evaluation.past_clicks import read_past_clicks


def test_clicks_of_all_files_come_with_canonical_titles_videos_and_days(examples_file: Callable[..., Path]) -> None:
    train = examples_file(
        [
            {"photo_id": "p0", "caption": "#fyp", "item_title": "Road bike", "day": 1},
            {"photo_id": "p1", "kind": "reject", "target": "[REJECT]", "day": 1},
            {"photo_id": "p0", "caption": "#fyp", "item_title": "Road bike", "target": "bike price", "day": 2},
        ],
        "train.parquet",
    )
    valid = examples_file([{"photo_id": "p2", "caption": "tent", "target": "tent"}], "valid.parquet")
    past = read_past_clicks(train, valid)
    assert [(pair.title, pair.query) for pair in past.pairs] == [
        ("Road bike", "road bike"),
        ("Road bike", "bike price"),
        ("tent", "tent"),
    ]
    assert past.photo == ["p0", "p0", "p2"]
    assert past.day.tolist() == [1, 2, 3]


def test_files_without_a_click_are_named(examples_file: Callable[..., Path]) -> None:
    path = examples_file([{"kind": "reject", "target": "[REJECT]"}])
    with pytest.raises(InputError, match=r"no row of \S+examples\.parquet is a click"):
        read_past_clicks(path)
