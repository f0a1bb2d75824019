"""Rows for the feature store, and the commands that write them."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cli.main import main
from evidence.embedding import DIMENSION, EMBEDDING_VERSION
from offline.errors import SettingsError
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.store_rows import evidence_table, user_table, without_embeddings, write_rows

START_MS = 1_700_006_400_000


@pytest.fixture
def embedded(busy_logs: EmbeddedLogs) -> EmbeddedLogs:
    return busy_logs


def test_every_video_that_exists_has_a_row(embedded: EmbeddedLogs) -> None:
    created = embedded.logs.videos["created_day"].to_numpy()
    assert evidence_table(embedded, 6).num_rows == embedded.logs.num_photos
    assert evidence_table(embedded, 2).num_rows == (created <= 2).sum()


def test_vectors_are_fp16_and_missing_for_a_video_without_text(embedded: EmbeddedLogs) -> None:
    rows = evidence_table(embedded, 6).to_pylist()
    silent = [row for row in rows if not (row["caption"] or row["summary"] or row["item_title"])]
    assert silent
    assert all(row["embedding"] is None and row["embedding_version"] is None for row in silent)
    described = next(row for row in rows if row["embedding"])
    assert len(described["embedding"]) == 2 * DIMENSION
    assert described["embedding_version"] == EMBEDDING_VERSION
    photo = embedded.logs.videos["photo_id"].to_pylist().index(described["photo_id"])
    np.testing.assert_allclose(np.frombuffer(described["embedding"], "<f2"), embedded.video_vectors[photo], atol=1e-3)


def test_updated_at_is_the_midnight_before_the_day(embedded: EmbeddedLogs) -> None:
    assert set(evidence_table(embedded, 3)["updated_at"].to_pylist()) == {START_MS + 3 * 86_400_000}


def test_user_rows_hold_a_vector_for_each_query(embedded: EmbeddedLogs) -> None:
    for row in user_table(embedded, 6).to_pylist():
        assert len(row["embeddings"]) == 2 * DIMENSION * len(row["queries"])


def test_json_lines_have_the_same_rows_as_parquet(embedded: EmbeddedLogs, tmp_path: Path) -> None:
    table = evidence_table(embedded, 6)
    write_rows(table, tmp_path / "rows.jsonl.gz")
    with gzip.open(tmp_path / "rows.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        if "embedding" in row:
            row["embedding"] = base64.b64decode(row["embedding"])
    assert rows == [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]


def test_an_unknown_format_is_refused(embedded: EmbeddedLogs, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\.parquet or \*\.jsonl\.gz"):
        write_rows(evidence_table(embedded, 6), tmp_path / "rows.csv")


def test_vectors_can_be_left_out(embedded: EmbeddedLogs) -> None:
    assert not [name for name in without_embeddings(user_table(embedded, 6)).column_names if "embedding" in name]


def test_the_commands_run(busy_dataset: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    for command, out in (("evidence", "e.parquet"), ("users", "u.jsonl.gz"), ("examples", "examples")):
        result = runner.invoke(main, ["offline", command, str(busy_dataset), str(tmp_path / out)])
        assert result.exit_code == 0, result.output
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 40
    report = json.loads((tmp_path / "examples" / "report.json").read_text())
    assert set(report["splits"]) == {"train", "valid", "test"}
    assert report["unsafe_by_rule"] == 2


def test_an_error_is_one_sentence(busy_dataset: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["offline", "evidence", str(busy_dataset), str(tmp_path / "e.parquet"), "--as-of-day", "40"]
    )
    assert result.exit_code == 1
    assert "days 0 to 5" in result.output
    assert "Traceback" not in result.output
