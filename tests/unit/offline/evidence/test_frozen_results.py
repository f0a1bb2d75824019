"""Histories, intent and examples of a small shop, row for row as the numpy pipeline made them that the engine replaced.

`busy_shop.json` was written by that pipeline (commit 68c8cff; its random choices replaced by those of the hash, and its
clicks in order of time). Anchors and personal queries depend on the embedder and are not in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.examples import ExampleSettings, write_examples
from offline.evidence.histories import HistorySettings, histories_as_of
from offline.evidence.intent import IntentSettings, item_intent
from offline.evidence.safety_labels import label_videos, read_terms

FROZEN: dict[str, Any] = json.loads(Path(__file__).with_name("busy_shop.json").read_text(encoding="utf-8"))
DAY: int = FROZEN["as_of_day"]


def test_intent(busy_logs: EmbeddedLogs) -> None:
    values = item_intent(busy_logs.logs, busy_logs.query_vectors, DAY, IntentSettings())
    found = dict(zip(busy_logs.logs.queries.to_pylist(), values.tolist(), strict=True))
    assert found == pytest.approx(FROZEN["intent"], abs=1e-4)


def test_histories(busy_logs: EmbeddedLogs) -> None:
    logs = busy_logs.logs
    histories = histories_as_of(logs, DAY, HistorySettings(limit=6), busy_logs.has_intent(DAY))
    found = zip(logs.videos["photo_id"].to_pylist(), histories.to_strings(logs.queries).to_pylist(), strict=True)
    assert {photo: queries for photo, queries in found if queries} == FROZEN["histories"]


def test_user_histories(busy_logs: EmbeddedLogs) -> None:
    logs = busy_logs.logs
    pasts = busy_logs.user_histories(DAY).to_strings(logs.queries).to_pylist()
    assert dict(zip(logs.user_ids.to_pylist(), pasts, strict=True)) == FROZEN["user_histories"]


def test_examples(busy_logs: EmbeddedLogs, busy_dataset: Path, tmp_path: Path) -> None:
    labels = label_videos(busy_logs.logs, read_terms(busy_dataset, None))
    write_examples(busy_logs, labels, ExampleSettings(), tmp_path)
    files = {name: f"examples_{name}.parquet" for name in ("train", "valid", "test")} | {"shown": "shown_test.parquet"}
    for name, file in files.items():
        rows = pq.read_table(tmp_path / file, columns=["example_id", "day"])
        assert rows["example_id"].to_pylist() == FROZEN["examples"][name]
        assert np.all(np.diff(rows["day"].to_numpy()) >= 0)
