"""Training and serving render the same evidence as exactly these token ids."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from evidence.embedder import HashedEmbedder
from evidence.render import RenderBudgets, Renderer
from evidence.schema import RawText
from feature_store import Fetched, PhotoRecord, UserRecord
from offline.evidence.examples import EXAMPLE_SCHEMA
from service.answering.evidence_source import gather
from service.answering.personal import PersonalSelector
from service.answering.request import RecommendRequest
from service.settings import PersonalSettings
from tests.golden.make_rendering import TOKENIZER
from training.data import load_examples

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parent / "rendering.json").read_text(encoding="utf-8"))
TEXT = ("caption", "photo_title", "title", "item_title")


def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(TOKENIZER))


@pytest.mark.parametrize("case", GOLDEN, ids=range(len(GOLDEN)))
def test_serving_renders_the_stored_ids(case: dict[str, Any]) -> None:
    stored = case["evidence"]
    photo = PhotoRecord(
        raw=RawText(**{name: stored.get(name) for name in TEXT}),
        summary=stored.get("summary", ""),
        anchors=tuple(stored.get("anchors", ())),
        histories=tuple(stored.get("histories", ())),
    )
    user = UserRecord(queries=tuple(stored.get("personal", ())), embeddings=None, embedding_version=None)
    request = RecommendRequest.model_validate({"photo_id": "p1", "user_id": "u1"})
    everything_is_similar = PersonalSelector(HashedEmbedder(), PersonalSettings(threshold=-1.0))
    evidence, _ = gather(request, Fetched(photo=photo, user=user, shown=(), degraded=()), everything_is_similar)
    assert Renderer(tokenizer(), RenderBudgets()).render(evidence).token_ids == case["token_ids"]


def test_training_packs_the_stored_ids(tmp_path: Path) -> None:
    rows = [
        {
            **{name: case["evidence"].get(name) for name in (*TEXT, "summary")},
            **{name: case["evidence"].get(name, []) for name in ("anchors", "histories", "personal")},
            "example_id": str(number), "day": 1, "photo_id": "p1", "user_id": "u1", "kind": "click",
            "source": "bar", "target": "acme drill", "photo_new": False,
        }
        for number, case in enumerate(GOLDEN)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA), tmp_path / "examples.parquet")
    packed = load_examples(tmp_path / "examples.parquet", tokenizer(), RenderBudgets(), 16, tmp_path / "cache")
    offsets, values = packed.sources.offsets, packed.sources.values
    rendered = [values[start:end].tolist() for start, end in pairwise(offsets)]
    assert rendered == [case["token_ids"] for case in GOLDEN]


def test_the_fixtures_differ_from_each_other() -> None:
    assert len({tuple(case["token_ids"]) for case in GOLDEN}) == len(GOLDEN)
    assert all(case["token_ids"].count(5) == 4 for case in GOLDEN)
