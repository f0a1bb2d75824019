"""A shop small enough for a test: a few brands, their queries, a tokenizer, and examples in the real schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer

from evidence.render import RenderBudgets
from training.checkpoint import CheckpointMeta, save_checkpoint
from training.config import GenerationDefaults, ModelConfig, to_dict
from training.model import build_model
from training.tokenizer import special_token_ids, train_tokenizer

BRANDS = ("Uladika", "Fenago", "Solmir", "Junra")
THINGS = ("camping chair", "electric kettle", "power bank")


def example(number: int, kind: str = "click", **fields: Any) -> dict[str, Any]:
    brand, thing = BRANDS[number % len(BRANDS)], THINGS[number % len(THINGS)]
    row: dict[str, Any] = {
        "example_id": f"e{number}",
        "day": number % 3,
        "kind": kind,
        "target": f"{brand.lower()} {thing}" if kind == "click" else "[REJECT]",
        "caption": f"unboxing my {brand} #fyp" if kind == "click" else "codeine syrup for sale",
        "photo_title": None,
        "title": None,
        "item_title": None,
        "summary": f"The video shows a {thing} by {brand}." if number % 2 else None,
        "anchors": [f"{thing} under 40", f"best {thing}"],
        "histories": [f"{brand.lower()} {thing} price"] if number % 5 else [],
        "personal": [],
    }
    return row | fields


def write_examples(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    for name in ("anchors", "histories", "personal"):
        column = pa.array([row[name] for row in rows], type=pa.list_(pa.string()))
        table = table.set_column(table.schema.get_field_index(name), name, column)
    for name in ("caption", "photo_title", "title", "item_title", "summary"):
        column = pa.array([row[name] for row in rows], type=pa.string())
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, path)
    return path


def write_lists(folder: Path) -> Path:
    """Each video: its clicked query above another brand's, which was shown, and a generic one, which was not."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(40):
        row, other = example(number), example(number + 1)
        del row["kind"], row["target"]
        queries = [example(number)["target"], other["target"], "best power bank"]
        rows.append(row | {"queries": queries, "levels": [2, 5, 6]})
    table = pa.Table.from_pylist(rows)
    for name in ("anchors", "histories", "personal"):
        column = pa.array([row[name] for row in rows], type=pa.list_(pa.string()))
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, folder / "lists_train.parquet")
    pq.write_table(table.slice(0, 12), folder / "lists_valid.parquet")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    rows = [example(n) for n in range(60)]
    texts = [text for row in rows for text in (row["caption"], row["summary"], row["target"], *row["anchors"]) if text]
    return train_tokenizer([*texts, "under 40 under 99 1299 price 充电宝 快充"], 420)


@pytest.fixture
def tokenizer_file(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture
def examples_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "examples"
    rows = [example(n) for n in range(40)] + [example(n, "reject") for n in range(8)]
    write_examples(folder / "examples_train.parquet", rows)
    write_examples(folder / "examples_valid.parquet", rows[::3])
    return folder


@pytest.fixture(scope="session", name="example")
def _example() -> Callable[..., dict[str, Any]]:
    return example


@pytest.fixture(scope="session", name="write_examples")
def _write_examples() -> Callable[[Path, list[dict[str, Any]]], Path]:
    return write_examples


@pytest.fixture(scope="session", name="write_lists")
def _write_lists() -> Callable[[Path], Path]:
    return write_lists


@pytest.fixture(name="make_checkpoint")
def _make_checkpoint(tmp_path: Path, tokenizer: Tokenizer) -> Callable[..., Path]:
    """A checkpoint of random weights, by its name and seed."""
    small = {"encoder_layers": 1, "decoder_layers": 1, "d_model": 32, "ffn_dim": 64, "attention_heads": 2}

    def make(name: str, seed: int, words: Tokenizer = tokenizer, **config: int) -> Path:
        torch.manual_seed(seed)
        model = build_model(ModelConfig(**{**small, **config}), words)
        generation = to_dict(GenerationDefaults(max_new_tokens=8))
        meta = CheckpointMeta(
            RenderBudgets(), generation, {"threshold": 0.5}, special_token_ids(words), {"stage": "sft", "steps": seed}
        )
        save_checkpoint(tmp_path / name, model, words, meta)
        return tmp_path / name

    return make
