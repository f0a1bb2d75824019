"""Wrong entities in shown queries, by the truth of a small simulated shop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demo.errors import WorldError
from demo.world.build import build_world
from demo.world.spec import WorldSpec
from demo.world.truth import read_truth
from evaluation.entities import Model, ShopWords
from evaluation.errors import InputError
from evaluation.grounding import CLICKED, Right, Shop, entity_report, wrong_kinds
from evaluation.inputs import Example

RIGHT = Right(
    brands=frozenset({"tammo", "ryoeltech"}),
    model=Model("tammo", "breeze", "2"),
    nouns=frozenset({"air fryer", "air cooker"}),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    build_world(out, WorldSpec(seed=3, videos=300, users=120, days=4, impressions_per_day=600))
    return out


@pytest.fixture
def shop(world: Path) -> Shop:
    return Shop(world / "truth")


@pytest.fixture
def held_out(world: Path, examples: Callable[..., list[Example]]) -> list[Example]:
    """One click under each of the first four videos, by four viewers; each query names the right type."""
    truth = read_truth(world)
    catalogue = truth.wording.catalogue
    nouns = [catalogue.types[catalogue.product_type[product]].noun for product in truth.triggers.product[:4]]
    videos = pq.read_table(world / "videos.parquet").slice(0, 4).to_pylist()
    fields = ("photo_id", "caption", "photo_title", "title", "item_title", "summary")
    return examples(
        *(
            {**{name: video[name] for name in fields}, "user_id": f"u00000{viewer}", "target": f"{noun} price"}
            for viewer, (video, noun) in enumerate(zip(videos, nouns, strict=True))
        )
    )


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("tammo air fryer", set()),
        ("ryoeltech air cooker", set()),
        ("tammo breeze 2 vs ryoeltech", set()),
        ("breeze 2 price", set()),
        ("what song is this", set()),
        ("savlux air fryer", {"brand"}),
        ("tammo breeze 3", {"model"}),
        ("tammo echo", {"model"}),
        ("ryoeltech breeze 2", {"model"}),
        ("best drone", {"type"}),
        ("quinelux air fryer", {"unknown name"}),
        ("savlux echo 5 drone", {"brand", "model", "type"}),
    ],
)
def test_what_is_wrong_with_a_query(query: str, kinds: set[str]) -> None:
    named = ShopWords(["Tammo", "Ryoeltech", "Savlux"]).named(query, RIGHT.words)
    assert wrong_kinds(named, RIGHT) == kinds


def test_right_are_the_product_its_rival_and_the_favourite_of_the_viewer(
    world: Path, shop: Shop, held_out: list[Example]
) -> None:
    truth = read_truth(world)
    catalogue, users = truth.wording.catalogue, truth.wording.users
    product = truth.triggers.product[2]
    kind = catalogue.product_type[product]
    brands = [
        catalogue.product_brand[product],
        catalogue.product_rival[product],
        users.brand[2, catalogue.type_department[kind]],
    ]
    right = shop.right(held_out[2])
    assert right.brands == {catalogue.brand_names[number].lower() for number in brands}
    assert f"{right.model.series} {right.model.suffix}" == catalogue.models[product].lower()
    assert right.model.brand == catalogue.brand_names[brands[0]].lower()
    assert right.nouns == {catalogue.types[kind].noun, catalogue.types[kind].other_noun}


def test_rates_are_shares_of_the_queries_that_are_shown(shop: Shop, held_out: list[Example]) -> None:
    right = held_out[0].target
    shown = [[right, "quinelux shoes"], [], ["quinelux price"], ["what song is this"]]
    report = entity_report(shop, held_out, {"bundle": shown})
    assert report[CLICKED]["queries"] == 4
    assert report[CLICKED]["wrong"]["mean"] == 0.0
    found = report["bundle"]
    assert (found["queries"], found["wrong"]["mean"], found["answered"]) == (4, 0.5, 0.75)
    assert (found["unknown name"], found["brand"], found["type"]) == (0.5, 0.0, 0.0)
    low, high = found["wrong"]["interval"]
    assert low <= 0.5 <= high


def test_a_system_that_shows_nothing_has_no_wrong_entities(shop: Shop, held_out: list[Example]) -> None:
    found = entity_report(shop, held_out, {"silent": [[], [], [], []]})["silent"]
    assert (found["queries"], found["wrong"]["mean"], found["answered"]) == (0, 0.0, 0.0)


def test_the_truth_of_these_examples_is_accepted_and_that_of_others_refused(
    shop: Shop, held_out: list[Example]
) -> None:
    shop.check(held_out)
    for changed in (
        replace(held_out[0], photo_id="p000300"),
        replace(held_out[0], photo_id="other"),
        replace(held_out[0], user_id="u000120"),
        replace(held_out[0], summary="a summary" if held_out[0].summary is None else None),
    ):
        with pytest.raises(InputError, match="is not the truth of these examples"):
            shop.check([held_out[1], changed])


def test_a_folder_that_is_no_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="is not a world"):
        Shop(tmp_path / "truth")
