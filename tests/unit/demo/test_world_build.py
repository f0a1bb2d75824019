"""The same arguments give the same world, and its latent variables can be read back."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import main
from demo.errors import WorldError
from demo.oracle import distribution
from demo.world.build import build_world
from demo.world.safety import TERMS, disguise
from demo.world.spec import WorldSpec
from demo.world.truth import read_truth
from demo.world.vocabulary import departments
from demo.world.wording import FORMS
from evidence.safety import ProhibitedTerms
from evidence.term_list import load_terms

TINY = {"videos": 300, "users": 60, "days": 3, "impressions_per_day": 300}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_world(tmp_path / name, WorldSpec(seed=seed, **TINY))
    one, again, other = (digests(tmp_path / name) for name in "abc")
    assert one == again
    assert set(one) == set(other)
    assert not [name for name in one if name.endswith(".parquet") and one[name] == other[name]]


@pytest.mark.parametrize("argument", ["videos", "users", "days", "impressions_per_day"])
def test_a_world_that_is_too_small_is_refused_by_name(argument):
    with pytest.raises(WorldError, match=argument.replace("_", " ")):
        WorldSpec(**{**TINY, argument: 1})


def test_the_shop_has_types_in_departments():
    shop = departments()
    assert len(shop) == 15
    nouns = [noun for d in shop for t in d.types for noun in (t.noun, t.other_noun)]
    assert len(nouns) == 240
    assert all(t.lowest_price < t.highest_price and len(t.features) == len(t.uses) == 4 for d in shop for t in d.types)


class TestTruth:
    def test_probabilities_sum_to_one(self, world_dir):
        truth = read_truth(world_dir)
        rows, people = np.arange(50), np.arange(50)
        mass = truth.wording.probabilities(truth.triggers.take(rows), people)
        assert mass.shape == (50, len(FORMS), 2)
        np.testing.assert_allclose(mass.sum(axis=(1, 2)), 1.0)

    def test_samples_follow_the_distribution_that_the_oracle_enumerates(self, world_dir):
        truth = read_truth(world_dir)
        draws = 20_000
        triggers, people = truth.triggers.take(np.full(draws, 3)), np.full(draws, 5)
        forms, names = truth.wording.sample(triggers, people, np.random.default_rng(0))
        texts = truth.wording.texts(triggers, people, forms, names)
        (shares,) = distribution(truth, truth.triggers.take(np.array([3])), np.array([5]))
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)
        for query, share in shares.items():
            assert texts.count(query) / draws == pytest.approx(share, abs=0.015)

    def test_another_person_wants_other_queries(self, world_dir):
        truth = read_truth(world_dir)
        one, other = distribution(truth, truth.triggers.take(np.array([3, 3])), np.array([5, 6]))
        assert one != other

    def test_a_world_of_another_version_is_refused(self, tmp_path, world_dir):
        (tmp_path / "truth").mkdir()
        about = (world_dir / "truth" / "world.json").read_text().replace('"format": 1', '"format": 0')
        (tmp_path / "truth" / "world.json").write_text(about)
        with pytest.raises(WorldError, match="another version"):
            read_truth(tmp_path)


class TestRuleList:
    def test_the_serving_matcher_reads_it(self, world_dir):
        terms = load_terms(world_dir / "prohibited_terms.tsv")
        found = ProhibitedTerms(terms).find("new disposable vape just landed")
        assert found is not None

    def test_it_leaves_some_terms_out(self, world_dir):
        listed = set(load_terms(world_dir / "prohibited_terms.tsv"))
        assert 0.5 * len(TERMS) < len(listed) < len(TERMS)

    @pytest.mark.parametrize(
        ("trick", "text"),
        [
            (0, "vape juice"),
            (1, "v a p e  j u i c e"),
            (2, "v4p3 ju1c3"),
            (3, "v.a.p.e j.u.i.c.e"),
            (4, "v\u200ba\u200bp\u200be j\u200bu\u200bi\u200bc\u200be"),
        ],
    )
    def test_sellers_disguise_terms(self, trick, text):
        assert disguise("vape juice", trick) == text


class TestCommands:
    def test_world_writes_and_report_measures(self, tmp_path):
        out = str(tmp_path / "w")
        sizes = [x for name, value in TINY.items() for x in (f"--{name.replace('_', '-')}", str(value))]
        made = CliRunner().invoke(main, ["world", out, "--seed", "3", *sizes])
        assert made.exit_code == 0, made.output
        assert "exposures" in made.output
        measured = CliRunner().invoke(main, ["world-report", out, "--sample", "100"])
        assert measured.exit_code == 0, measured.output
        assert "hr@8" in measured.output

    def test_world_refuses_sizes_with_a_sentence(self, tmp_path):
        made = CliRunner().invoke(main, ["world", str(tmp_path / "w"), "--videos", "5"])
        assert made.exit_code == 1
        assert "Error: a world needs at least 200 videos" in made.output

    def test_report_says_what_is_missing(self, tmp_path):
        measured = CliRunner().invoke(main, ["world-report", str(tmp_path)])
        assert measured.exit_code == 1
        assert "is not a world; make one" in measured.output
