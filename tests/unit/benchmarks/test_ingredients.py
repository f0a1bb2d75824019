"""The benchmark of the recipe's ingredients: its variants, its resumption, its table and its plot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks.ingredients.__main__ import main
from benchmarks.ingredients.plan import Plan, check_settings, commands, stage_0_settings, stage_1_settings
from benchmarks.ingredients.report import PANELS, plot, to_markdown
from benchmarks.ingredients.run import Onebar, learning_curve, run_variants
from benchmarks.ingredients.variants import RECIPE, VARIANTS
from evaluation.errors import InputError
from evidence.rows import EVIDENCE_COLUMNS, TEXT_FIELDS
from training.cli import train
from training.config import PretrainConfig, SftConfig, load_config, to_dict
from training.errors import ConfigError
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
    schema = pa.schema({"day": pa.int64(), "kind": pa.string(), "target": pa.string(), **types})
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


# The variants


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
        "no-substitution": {"substitution": 0.0},
        "answer-removal": {"answer_removal": 0.15},
        "one-target-per-source": {"targets_per_source": 1},
        "no-field-dropout": {f"field_dropout.{name}": 0.0 for name in fields},
        "one-shop": {},
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


# Running them


def test_variants_are_trained_measured_and_not_run_again(plan: Plan, onebar: Onebar, calls: list[list[str]]) -> None:
    variants = [BY_NAME[name] for name in ("everything", "stage-0-first", "own-tokenizer")]
    rows = run_variants(variants, plan, 1, onebar)
    assert [words[1] for words in calls] == ["sft", "pretrain", "sft", "tokenizer", "sft"]
    assert [row["variant"] for row in rows] == [variant.name for variant in variants]
    for row in rows:
        assert row["steps"] == 4
        assert set(row["unseen"]) == {"shop3"}
        for figures in (row["own"], *row["unseen"].values()):
            assert set(figures) == {"clicks", "hr@8", "mrr@8", "loss"}
            assert figures["clicks"] == 8
            assert figures["loss"] > 0
        assert 0 <= row["copy_accuracy"] <= 1
    assert [[point["step"] for point in row["curve"]] for row in rows] == [[2, 4], [6, 8], [2, 4]]

    assert run_variants(variants, plan, 1, onebar) == rows
    assert len(calls) == 5

    # More clicks: the training is finished, so only the figures are new.
    [again] = run_variants(variants[:1], replace(plan, clicks=12), 1, onebar)
    assert (again["unseen"]["shop3"]["clicks"], again["steps"], again["curve"]) == (12, 4, rows[0]["curve"])

    with pytest.raises(InputError, match=r"have minutes 20, not 5"):
        run_variants(variants, replace(plan, minutes=5), 1, onebar)


def test_a_variant_that_fails_has_a_row_and_is_run_again(plan: Plan, onebar: Onebar) -> None:
    def broken(arguments: Sequence[str], log: Path) -> None:
        if "model.copying_start=false" in arguments:
            log.write_text("step 1\nError: the loss is not finite\n\n", encoding="utf-8")
            raise CalledProcessError(1, "onebar")
        onebar(arguments, log)

    variants = [BY_NAME["random-start"], BY_NAME["everything"]]
    rows = run_variants(variants, plan, 1, broken)
    assert rows[0] == {"variant": "random-start", "error": "Error: the loss is not finite"}
    assert rows[1]["steps"] == 4
    assert run_variants(variants[:1], plan, 1, onebar)[0]["steps"] == 4


def test_a_missing_file_is_reported_before_any_training(plan: Plan, onebar: Onebar, calls: list[list[str]]) -> None:
    (plan.unseen[0] / "examples_test.parquet").unlink()
    with pytest.raises(InputError, match=r"shop3/examples_test.parquet is missing"):
        run_variants(VARIANTS, plan, 1, onebar)
    assert not calls


def test_a_learning_curve_has_the_later_of_two_records_of_a_step(tmp_path: Path) -> None:
    found = {"copy_accuracy": 0.5, "mrr@8": 0.1, "loss": 2.0}
    records = [
        {"step": 1, "seconds": 1.0, "loss": 3.0},
        {"step": 2, "seconds": 2.0, "evaluation": {"hr@8": 0.1, **found}},
        {"step": 2, "seconds": 3.0, "evaluation": {"hr@8": 0.2, **found}},
    ]
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    assert learning_curve(tmp_path) == [{"step": 2, "seconds": 3.0, "hr@8": 0.2, **found}]


# The report


def row(variant: str, hits: float) -> dict[str, Any]:
    figures = {"clicks": 8, "hr@8": hits, "mrr@8": hits / 2, "loss": 1.5}
    curve = [{"step": step, "copy_accuracy": hits / 2, "hr@8": hits / step} for step in (2, 4)]
    return {
        "variant": variant,
        "steps": 4000,
        "copy_accuracy": 0.9,
        "own": figures,
        "unseen": {"a": figures, "b": figures | {"hr@8": hits + 0.1}},
        "curve": curve,
    }


def test_the_table_has_means_over_the_unseen_shops_and_the_change_by_each_variant() -> None:
    rows = [row("everything", 0.4), row("one-shop", 0.1), {"variant": "random-start", "error": "not finite"}]
    assert to_markdown(rows).splitlines()[2:] == [
        "| everything | 4,000 | .450 |  | .200 | 1.50 | .400 | .200 | 1.50 | .900 |",
        "| one-shop | 4,000 | .150 | -0.300 | .050 | 1.50 | .100 | .050 | 1.50 | .900 |",
        "| random-start | failed | | | | | | | | |",
    ]


def test_the_plot_has_one_line_for_each_variant_in_each_panel(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [row(variant.name, number / 20) for number, variant in enumerate(VARIANTS)]
    for name in ("one.svg", "two.svg"):
        plot([*rows, {"variant": "failed", "error": "not finite"}], tmp_path / name)
    drawn = (tmp_path / "one.svg").read_text(encoding="utf-8")
    lines = [f"{panel} {variant.name}" for panel in PANELS for variant in VARIANTS]
    assert sorted(re.findall(rf'<g id="((?:{"|".join(PANELS)}) [^"]+)"', drawn)) == sorted(lines)
    for variant in VARIANTS:
        assert f">{variant.name}</text>" in drawn
    assert (tmp_path / "two.svg").read_text(encoding="utf-8") == drawn


# The command


def test_the_command_trains_in_a_process_of_its_own_and_its_result_can_be_plotted(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = [
        *("run", *map(str, plan.shops), "--unseen", str(plan.unseen[0]), "--tokenizer", str(plan.tokenizer)),
        *("--work", str(plan.work), "--only", "everything", "--clicks", "8", "--every-steps", "2"),
        *(word for setting in TINY for word in ("--set", setting)),
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert re.search(r"^\| everything \| 4 \| ", done.stdout, re.MULTILINE)
    result = json.loads((plan.work / "result.json").read_text(encoding="utf-8"))
    assert [found["variant"] for found in result["variants"]] == ["everything"]
    assert str(tmp_path) not in json.dumps(result)
    drawn = CliRunner().invoke(main, ["plot", str(plan.work / "result.json"), str(tmp_path / "out.svg")])
    assert drawn.exit_code == 0, drawn.output
    assert "copy_accuracy everything" in (tmp_path / "out.svg").read_text(encoding="utf-8")


def test_options_that_cannot_be_used_are_named(plan: Plan) -> None:
    shop, tokenizer = str(plan.shops[0]), str(plan.tokenizer)
    common = ["--unseen", shop, "--tokenizer", tokenizer, "--work", str(plan.work)]
    no_logs = CliRunner().invoke(main, ["run", shop, *common, "--only", "own-tokenizer"])
    assert (no_logs.exit_code, "give --logs" in no_logs.stderr) == (2, True)
    twice = CliRunner().invoke(main, ["run", shop, shop, *common])
    assert (twice.exit_code, "two folders of SHOPS have the same name" in twice.stderr) == (2, True)
    unknown = CliRunner().invoke(main, ["run", shop, *common, "--set", "optim.speed=1"])
    assert (unknown.exit_code, "unknown key optim.speed" in unknown.stderr) == (1, True)
