"""Small shops, and a plan that trains tiny models on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks.ingredients.plan import Plan
from benchmarks.ingredients.run import Onebar
from benchmarks.ingredients.variants import VARIANTS
from evidence.rows import EVIDENCE_COLUMNS, TEXT_FIELDS
from training.cli import train
from training.tokenizer import train_tokenizer

BRANDS = ("Uladika", "Fenago", "Solmir", "Junra")

THINGS = ("camping chair", "electric kettle", "power bank")

LISTS = ("anchors", "histories", "personal")

TINY = (
    "model.encoder_layers=1", "model.decoder_layers=1", "model.d_model=16", "model.ffn_dim=16",
    "model.attention_heads=2", "optim.max_steps=4", "optim.batch_size=16", "runtime.precision=fp32",
    "runtime.device=cpu", "runtime.threads=1", "epoch_documents=32", "validation_documents=8",
)  # fmt: skip

BY_NAME = {variant.name: variant for variant in VARIANTS}


def example(number: int) -> dict[str, Any]:
    brand, thing = BRANDS[number % 4], THINGS[number % 3]
    row: dict[str, Any] = dict.fromkeys(EVIDENCE_COLUMNS)
    return row | {
        "example_id": str(number),
        "photo_id": f"p{number}",
        "user_id": "u",
        "source": "bar",
        "photo_new": False,
        "day": number % 3,
        "kind": "click" if number % 6 else "reject",
        "target": f"{brand.lower()} {thing}" if number % 6 else "[REJECT]",
        "caption": f"unboxing my {brand}",
        "anchors": [f"{thing} under 40", f"{brand.lower()} {thing}"],
        "histories": [f"best {thing}"],
        "personal": [],
    }


def write_shop(folder: Path, first: int) -> Path:
    folder.mkdir()
    rows = [example(number) for number in range(first, first + 36)]
    types = {name: pa.list_(pa.string()) if name in LISTS else pa.string() for name in EVIDENCE_COLUMNS}
    names = ("example_id", "photo_id", "user_id", "source", "kind", "target")
    known = {"photo_new": pa.bool_(), "day": pa.int64(), **dict.fromkeys(names, pa.string())}
    schema = pa.schema(known | types)
    for split in ("train", "valid", "test"):
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"examples_{split}.parquet")
    return folder


def write_logs(folder: Path) -> Path:
    folder.mkdir()
    videos = [
        {"created_day": 0, "summary": None, **dict.fromkeys(TEXT_FIELDS, f"my {brand} {thing}")}
        for brand in BRANDS
        for thing in THINGS
    ]
    queries = [{"day": 0, "query": f"{brand} {thing}"} for brand in BRANDS for thing in THINGS]
    tables = {"videos": videos, "searches": queries, "exposures": queries, "impressions": [{"day": 3}]}
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    tokenizer = tmp_path / "tokenizer.json"
    train_tokenizer([f"{brand} {thing} best under 40 unboxing my" for brand in BRANDS for thing in THINGS], 400).save(
        str(tokenizer)
    )
    shops = tuple(write_shop(tmp_path / name, first) for first, name in enumerate(("shop1", "shop2")))
    return Plan(
        work=tmp_path / "work",
        shops=shops,
        unseen=(write_shop(tmp_path / "shop3", 2),),
        validate_on=shops[0],
        tokenizer=tokenizer,
        logs=write_logs(tmp_path / "logs"),
        minutes=20,
        every_steps=2,
        clicks=8,
        threads=1,
        seed=17,
        overrides=TINY,
    )


@pytest.fixture
def calls() -> list[list[str]]:
    return []


@pytest.fixture
def onebar(calls: list[list[str]]) -> Onebar:
    """Runs the commands in this process, which is faster than starting another."""

    def run(arguments: Sequence[str], log: Path) -> None:
        calls.append(list(arguments))
        done = CliRunner().invoke(train, arguments[1:])
        log.write_text(f"{done.output}\n{done.exception}\n", encoding="utf-8")
        if done.exit_code:
            raise CalledProcessError(done.exit_code, list(arguments))

    return run
