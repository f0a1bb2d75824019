"""Ideal readers: what they know, what they may write, and the command."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks.ideal_reader import READERS, Click, World, main
from demo.world.build import build_world
from demo.world.spec import WorldSpec
from demo.world.truth import read_truth
from evaluation.inputs import read_examples
from tests.unit.evaluation.conftest import write_examples

SPEC = WorldSpec(seed=5, videos=600, users=150, days=5, impressions_per_day=1500)
TEXTS = ("caption", "photo_title", "title", "item_title", "summary")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world, and examples of its last day; their lists are what was searched before."""
    out = tmp_path_factory.mktemp("ideal")
    build_world(out / "world", SPEC)
    videos = pq.read_table(out / "world" / "videos.parquet").to_pylist()
    targets = pq.read_table(out / "world" / "truth" / "targets.parquet").to_pylist()
    on_video: dict[int, list[str]] = defaultdict(list)
    of_user: dict[int, list[str]] = defaultdict(list)
    rows: list[dict[str, Any]] = []
    for target in targets:
        video, user = target["video"], target["user"]
        if target["day"] == SPEC.days - 1 and target["target_form"] >= 0 and len(rows) < 150:
            lists = {
                "histories": on_video[video][-10:],
                "personal": of_user[user][-6:],
                "photo_new": not on_video[video],
            }
            texts = {name: videos[video][name] for name in TEXTS}
            ids = {"photo_id": f"p{video:06}", "user_id": f"u{user:06}"}
            rows.append({**texts, **lists, **ids, "target": target["target"]})
        elif target["day"] < SPEC.days - 1:
            on_video[video].append(target["target"])
            of_user[user].append(target["target"])
    write_examples(out / "examples" / "examples_test.parquet", rows)
    return out


@pytest.fixture(scope="module")
def world(folder: Path) -> World:
    return World(read_truth(folder / "world"), draws=20)


@pytest.fixture(scope="module")
def clicks(folder: Path) -> list[Click]:
    return [Click.of(example) for example in read_examples(folder / "examples" / "examples_test.parquet")]


def reach(world: World, clicks: list[Click], reader: str) -> float:
    rng = np.random.default_rng(0)
    return float(np.mean([at.target in world.answer(at, reader, rng) for at in clicks]))


def test_who_knows_more_answers_more(world: World, clicks: list[Click]) -> None:
    none, habits, viewer = (reach(world, clicks, reader) for reader in READERS)
    assert none + 0.02 < habits < viewer - 0.02


def test_a_reader_writes_only_names_of_its_evidence(world: World, clicks: list[Click]) -> None:
    brands = {name.lower() for name in world.truth.wording.catalogue.brand_names}
    rng = np.random.default_rng(0)
    for at in clicks[:40]:
        for reader in READERS:
            for query in world.answer(at, reader, rng):
                assert all(at.has(brand) for brand in brands.intersection(query.split())), (at, query)


def test_a_query_is_writable_where_its_names_stand_in_the_evidence(world: World) -> None:
    shop, product = world.truth.wording.catalogue, int(world.truth.triggers.product[3])
    brand, model = shop.brand_names[shop.product_brand[product]].lower(), shop.models[product].lower()
    for words, target, expected in (
        ("a kettle", "kettle price", True),
        ("a kettle", f"{brand} kettle", False),
        (f"a kettle by {brand}", f"{brand} kettle", True),
        (f"a kettle by {brand}", f"{brand} {model} price", False),
        (f"a kettle | {brand} {model}", f"{brand} {model} price", True),
    ):
        assert world.writable(Click(0, 3, target, words)) is expected, target


def test_the_command_measures_every_view(folder: Path, tmp_path: Path) -> None:
    options = [str(folder / "world"), str(folder / "examples"), "--clicks", "30", "--draws", "5"]
    result = CliRunner().invoke(main, [*options, "--output", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert set(figures) == {"as served", "decontaminated", "without lists", "new videos, as served"}
    assert all(set(found) == {*READERS, "writable"} for found in figures.values())
    assert figures["without lists"]["writable"] <= figures["as served"]["writable"]


def test_a_folder_without_a_truth_or_without_examples_is_named(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), str(folder / "examples")])
    assert result.exit_code == 1
    assert "is not a world" in result.output
    result = CliRunner().invoke(main, [str(folder / "world"), str(tmp_path)])
    assert result.exit_code == 1
    assert "examples_test.parquet is missing" in result.output


def test_examples_of_another_world_are_refused(folder: Path, tmp_path: Path) -> None:
    build_world(tmp_path, replace(SPEC, seed=6))
    result = CliRunner().invoke(main, [str(tmp_path), str(folder / "examples")])
    assert result.exit_code == 1
    assert "is not the truth of these examples" in result.output
