"""A world may have some of the departments only, and as many products as it needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cli.main import main
from demo.errors import WorldError
from demo.oracle import Reader, bound, ceiling
from demo.world.build import build_world
from demo.world.catalogue import BRANDS_PER_DEPARTMENT, Catalogue, make_catalogue
from demo.world.spec import WorldSpec
from demo.world.truth import read_truth
from demo.world.vocabulary import Department, departments, words
from demo.world.wording import FORMS
from offline.logs.tables import read_table

SMALL = {"videos": 1500, "users": 300, "days": 4, "impressions_per_day": 2000}


@pytest.fixture(scope="module")
def pets_and_crafts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pets_and_crafts")
    build_world(out, WorldSpec(seed=4, departments=("crafts", "pets"), **SMALL))
    return out


@pytest.fixture(scope="module")
def crowded() -> Catalogue:
    """Return the catalogue of a shop whose largest brand has more products than pairs of a series and a suffix."""
    return make_catalogue(WorldSpec(videos=30_000, departments=("pets",)), np.random.default_rng(0))


class TestDepartments:
    def test_every_video_is_of_a_chosen_department(self, pets_and_crafts):
        assert set(read_table(pets_and_crafts, "videos")["category"].to_pylist()) == {"pets", "crafts"}

    def test_item_queries_have_no_word_that_only_other_departments_have(self, pets_and_crafts):
        def vocabulary(shop: tuple[Department, ...]) -> set[str]:
            texts = [text for d in shop for text in (*d.kinds, *d.tastes)]
            texts += [text for d in shop for t in d.types for text in (t.noun, t.other_noun, *t.features, *t.uses)]
            return {word for text in texts for word in text.split()}

        named = {word.lower() for section in ("trends", "series", "suffixes") for word in words(section)}
        grammar = {word for form in FORMS for word in form.pattern.split()}
        foreign = vocabulary(departments()) - vocabulary(departments(("pets", "crafts"))) - named - grammar
        targets = pq.read_table(pets_and_crafts / "truth" / "targets.parquet")
        queries = targets.filter(pc.greater_equal(targets["intent_form"], 0))["intent"].to_pylist()
        assert len(foreign) > 500
        assert not foreign & {word for query in queries for word in query.split()}

    def test_leading_words_are_features_of_these_departments_and_trends(self, pets_and_crafts):
        leading = set(read_truth(pets_and_crafts).triggers.leading_words)
        features = {f for d in departments(("pets", "crafts")) for t in d.types for f in t.features}
        assert leading <= features | set(words("trends"))
        assert leading & set(words("trends")) - features

    def test_the_truth_records_them_and_the_oracle_uses_them(self, pets_and_crafts):
        about = json.loads((pets_and_crafts / "truth" / "world.json").read_text())
        assert about["spec"]["departments"] == ["pets", "crafts"]
        truth = read_truth(pets_and_crafts)
        assert truth.wording.catalogue.departments == departments(("pets", "crafts"))
        assert ceiling(pets_and_crafts, 3)["hr@8"] > 0.5
        assert bound(pets_and_crafts, 3, Reader(), sample=40, draws=8)["targets"] == 40

    def test_one_department_is_enough(self, tmp_path):
        build_world(tmp_path, WorldSpec(seed=4, departments=("pets",), **SMALL))
        interests = read_truth(tmp_path).wording.users.interests
        np.testing.assert_allclose(interests, 1.0)
        assert 0.0 < read_truth(tmp_path).triggers.trending.mean() < 0.5

    def test_their_order_and_repetition_do_not_matter(self):
        one, other = (WorldSpec(departments=names) for names in (("pets", "toys"), ("toys", "pets", "toys")))
        assert one == other

    def test_all_of_them_are_the_default(self):
        every = WorldSpec(departments=tuple(department.name for department in departments()))
        assert every == WorldSpec()
        assert "departments" not in every.to_dict()

    def test_an_unknown_one_is_refused_with_the_list(self, tmp_path):
        with pytest.raises(WorldError, match=r"'cars', 'ships'; the departments are kitchen, beauty, .*, garden$"):
            WorldSpec(departments=("ships", "pets", "cars"))
        made = CliRunner().invoke(main, ["world", str(tmp_path / "w"), "--departments", "cars"])
        assert made.exit_code == 1
        assert made.output.startswith("Error: no department is called 'cars'; the departments are kitchen, ")

    def test_the_command_takes_several(self, tmp_path):
        sizes = [x for name, value in SMALL.items() for x in (f"--{name.replace('_', '-')}", str(value))]
        chosen = ["--departments", "fashion women", "--departments", "toys"]
        made = CliRunner().invoke(main, ["world", str(tmp_path), *sizes, *chosen])
        assert made.exit_code == 0, made.output
        assert set(read_table(tmp_path, "videos")["category"].to_pylist()) == {"fashion women", "toys"}


class TestModelNames:
    def test_a_brand_may_have_more_products_than_pairs_of_words(self, crowded):
        pairs = len(words("series")) * len(words("suffixes"))
        assert np.bincount(crowded.product_brand, minlength=BRANDS_PER_DEPARTMENT).max() > 1.5 * pairs

    def test_no_two_products_of_a_brand_have_one_name(self, crowded):
        names = list(zip(crowded.product_brand.tolist(), crowded.models, strict=True))
        assert len(set(names)) == len(names) == 6000

    def test_fewer_departments_of_the_default_size_need_no_later_names(self):
        shop = make_catalogue(WorldSpec(departments=("pets", "crafts")), np.random.default_rng(0))
        assert {len(model.split()) for model in shop.models} == {2}

    def test_later_names_are_generations_of_earlier_ones(self, crowded):
        series, suffixes = set(words("series")), set(words("suffixes"))
        later = [model.split() for model in crowded.models if len(model.split()) == 3]
        assert 0 < len(later) < len(crowded.models)
        assert all(a in series and b[0] == "G" and int(b[1:]) >= 2 and c in suffixes for a, b, c in later)
        taken = set(zip(crowded.product_brand.tolist(), crowded.models, strict=True))
        for brand, model in taken:
            parts = model.split()
            assert len(parts) == 2 or (brand, f"{parts[0]} {parts[2]}") in taken
