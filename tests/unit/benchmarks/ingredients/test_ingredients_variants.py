"""The variants: what each changes, and the commands that it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.ingredients.plan import Plan, check_settings, commands, stage_0_settings, stage_1_settings
from benchmarks.ingredients.variants import RECIPE, VARIANTS
from tests.unit.benchmarks.ingredients.conftest import BY_NAME
from training.config import PretrainConfig, SftConfig, load_config, to_dict
from training.errors import ConfigError


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_each_variant_changes_one_ingredient_of_the_recipe(plan: Plan) -> None:
    plan = replace(plan, overrides=())

    def settings(name: str) -> dict[str, Any]:
        config = load_config(SftConfig, RECIPE, stage_1_settings(BY_NAME[name], plan))
        return dict(flat(to_dict(config)))

    everything = settings("everything")
    changes = {
        name: {key: value for key, value in settings(name).items() if value != everything[key]} for name in BY_NAME
    }
    rate = load_config(SftConfig, RECIPE).optim.learning_rate
    fields = ("text", "summary", "anchors", "histories", "personal", "all_but_text")
    assert changes == {
        "everything": {},
        "random-start": {"model.copying_start": False},
        "no-pointer": {"model.pointer_hidden": 0},
        "no-substitution": {"substitution": 0.0},
        "no-weak-evidence": {"weak_evidence": 0.0, "unknown_words": 0.0},
        "answer-removal": {"answer_removal": 0.15},
        "one-target-per-source": {"targets_per_source": 1},
        "no-field-dropout": {f"field_dropout.{name}": 0.0 for name in fields},
        "one-shop": {},
        "6-encoder-layers": {"model.encoder_layers": 6},
        "4-encoder-layers": {"model.encoder_layers": 4},
        "2-encoder-layers": {"model.encoder_layers": 2},
        "half-learning-rate": {"optim.learning_rate": rate / 2},
        "double-learning-rate": {"optim.learning_rate": rate * 2},
        "stage-0-first": {"optim.max_minutes": 10.0},
        "own-tokenizer": {},
    }


def test_stage_0_has_the_model_of_stage_1_and_the_other_half_of_the_minutes(plan: Plan) -> None:
    plan = replace(plan, overrides=())
    variant = BY_NAME["stage-0-first"]
    stage_0 = load_config(PretrainConfig, RECIPE.parent / "pretrain.yaml", stage_0_settings(variant, plan))
    stage_1 = load_config(SftConfig, RECIPE, stage_1_settings(variant, plan))
    assert (stage_0.model, stage_0.render) == (stage_1.model, stage_1.render)
    assert stage_0.optim.max_minutes == stage_1.optim.max_minutes == plan.minutes / 2


def test_the_change_of_a_variant_wins_over_an_override_of_all(plan: Plan) -> None:
    settings = stage_1_settings(BY_NAME["4-encoder-layers"], plan)
    assert load_config(SftConfig, RECIPE, settings).model.encoder_layers == 4


def test_an_override_that_no_stage_has_is_refused(plan: Plan) -> None:
    check_settings(VARIANTS, plan)
    with pytest.raises(ConfigError, match=r"unknown key speed"):
        check_settings(VARIANTS, replace(plan, overrides=("speed=1",)))


def test_the_commands_of_a_variant_name_its_shops_its_start_and_its_tokenizer(plan: Plan) -> None:
    def stages(name: str) -> list[tuple[str, int, str]]:
        return [
            (words[1], sum(str(shop) in words for shop in plan.shops), " ".join(words))
            for words in commands(BY_NAME[name], plan)
        ]

    assert [stage[:2] for stage in stages("everything")] == [("sft", 2)]
    [one_shop] = stages("one-shop")
    assert one_shop[:2] == ("sft", 1)
    assert str(plan.shops[0]) in one_shop[2]
    [pretrain, sft] = stages("stage-0-first")
    assert pretrain[:2] == ("pretrain", 1)
    assert "/stage-0-first/pretrained --tokenizer" in pretrain[2]
    assert re.search(r"--init-from \S+/stage-0-first/pretrained ", sft[2])
    assert "--tokenizer" not in sft[2]
    [tokenizer, sft] = stages("own-tokenizer")
    assert tokenizer[0] == "tokenizer"
    assert re.search(r"--tokenizer \S+/own-tokenizer/tokenizer.json ", sft[2])
