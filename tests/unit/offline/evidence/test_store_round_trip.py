"""The evidence of an example equals the evidence that serving finds in the store of that day."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evidence.assemble import build_evidence
from evidence.embedding import embed, filter_personal
from evidence.schema import RawText
from feature_store import open_store
from feature_store.embedded import EmbeddedStore
from feature_store.loader import load_path
from feature_store.rows import PHOTO_COLUMNS, USER_COLUMNS
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.examples import ExampleSettings, write_examples
from offline.evidence.safety_labels import label_videos, read_terms
from offline.evidence.store_rows import EVIDENCE_SCHEMA, USER_SCHEMA, evidence_table, user_table, write_rows

TEST_DAY = 5


def test_the_columns_are_those_of_the_store() -> None:
    assert set(EVIDENCE_SCHEMA.names) == set(PHOTO_COLUMNS)
    assert set(USER_SCHEMA.names) == set(USER_COLUMNS)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl.gz"])
async def test_examples_and_the_store_agree(
    busy_logs: EmbeddedLogs, busy_dataset: Path, tmp_path: Path, suffix: str
) -> None:
    embedded = busy_logs
    labels = label_videos(embedded.logs, read_terms(busy_dataset, None))
    write_examples(embedded, labels, ExampleSettings(), tmp_path)
    write_rows(evidence_table(embedded, TEST_DAY), tmp_path / "rows" / f"evidence.{suffix}")
    write_rows(user_table(embedded, TEST_DAY), tmp_path / "rows" / f"users.{suffix}")

    store = await open_store("memory://")
    try:
        assert isinstance(store, EmbeddedStore)
        assert load_path(tmp_path / "rows", store.writer()).bad == 0
        for row in pq.read_table(tmp_path / "examples_test.parquet").to_pylist():
            fetched = await store.fetch(row["photo_id"], row["user_id"])
            assert fetched.degraded == ()
            photo, user = fetched.photo, fetched.user
            assert photo is not None
            stored = build_evidence(photo.raw, photo.summary, photo.anchors, photo.histories)
            raw = RawText(row["caption"], row["photo_title"], row["title"], row["item_title"])
            assert stored == build_evidence(raw, row["summary"], row["anchors"], row["histories"])

            if photo.embedding is None or user is None or user.embeddings is None:
                assert row["personal"] == []
                continue
            served = filter_personal(photo.embedding, user.queries, user.embeddings)
            # Vectors are stored in fp16, so that nearly equal queries may change places.
            assert embed(served) @ photo.embedding == pytest.approx(embed(row["personal"]) @ photo.embedding, abs=2e-3)
    finally:
        await store.close()
