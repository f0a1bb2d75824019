"""Held-out examples, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.inputs import Example, read_examples
from evaluation.predict import BundlePredictor
from tests.fixtures.tiny_bundle import build_tiny_bundle

DEFAULTS: dict[str, Any] = {
    "example_id": "e",
    "photo_id": "p",
    "user_id": "u",
    "kind": "click",
    "source": "bar",
    "target": "road bike",
    "caption": None,
    "photo_title": None,
    "title": None,
    "item_title": None,
    "summary": None,
    "anchors": [],
    "histories": [],
    "personal": [],
    "photo_new": False,
    "day": 3,
}
_TYPES = {
    "photo_new": pa.bool_(),
    "day": pa.int32(),
    **dict.fromkeys(("anchors", "histories", "personal"), pa.list_(pa.string())),
}


def write_examples(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write examples as `onebar offline examples` does; missing values take a default."""
    full = [{**DEFAULTS, "example_id": f"e{n}", **row} for n, row in enumerate(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: pa.array([row[name] for row in full], _TYPES.get(name, pa.string())) for name in DEFAULTS}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def examples_file(tmp_path: Path) -> Callable[..., Path]:
    return lambda rows, name="examples.parquet": write_examples(tmp_path / name, rows)


@pytest.fixture
def examples(examples_file: Callable[..., Path]) -> Callable[..., list[Example]]:
    return lambda *rows: read_examples(examples_file(list(rows)))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle", seed=0)


@pytest.fixture
def predictor(bundle: Path) -> BundlePredictor:
    return BundlePredictor(bundle)
