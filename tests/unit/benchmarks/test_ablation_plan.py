"""The ablations: their configuration, the plan of their runs, and their statistics."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.ablations.answers import Measured
from benchmarks.ablations.config import load_config
from benchmarks.ablations.curves import evaluations, last_step, losses
from benchmarks.ablations.plan import (
    STAGES,
    check_settings,
    command,
    name_runs,
    plan_runs,
    run_folder,
    select_parts,
    select_runs,
    stage_settings,
)
from benchmarks.ablations.statistics import difference, figure, hit_rates, over_seeds
from benchmarks.ablations.tables import COMPARISONS
from benchmarks.ablations.variants import PARTS, TERMS
from evaluation.errors import InputError
from evaluation.metrics import score_all
from tests.fixtures.ablation_shop import make_config, write_curve
from training.config import CONFIG_FOLDER, to_dict
from training.config import load_config as load_stage
from training.errors import ConfigError
from training.policy_config import PiopdConfig

FOLDER = Path("benchmarks/ablations")
ANYWHERE = Path("inputs")


# The configuration and the plan


@pytest.mark.parametrize("name", ["full.yaml", "short.yaml", "smoke.yaml"])
def test_the_shipped_configurations_have_settings_that_their_stages_know(name: str) -> None:
    config = load_config(FOLDER / name)
    check_settings(plan_runs(config), config)
    assert config.smoke == (name == "smoke.yaml")


def test_a_setting_that_no_stage_has_is_refused() -> None:
    config = make_config(ANYWHERE, settings={"piopd": ["weights.speed=1"]})
    with pytest.raises(ConfigError, match=r"unknown key weights.speed"):
        check_settings(plan_runs(config), config)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inputs.example=x", "inputs.example: Extra inputs are not permitted"),
        ("seeds=[]", "seeds: Tuple should have at least 1 item"),
        ("variant_seeds=[5]", "variant_seeds has 5, which is none of seeds"),
        ("inputs.foundation=null", "inputs.foundation and inputs.tokenizer are null"),
        ("inputs.logs=null", "inputs.lists and inputs.logs are null"),
        ("seeds", "the form is section.key=value"),
        ("name.x=1", "the section must be a mapping"),
    ],
)
def test_a_wrong_value_is_named(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config(FOLDER / "full.yaml", [override])


def test_every_run_comes_behind_those_that_it_needs() -> None:
    alternatives: tuple[dict[str, Any], ...] = ({}, {"stage_1": None, "lists": None, "logs": Path("logs")})
    for changes in alternatives:
        before: set[str] = set()
        for run in plan_runs(make_config(ANYWHERE, inputs=changes)):
            assert {run.start, *run.needs} - {None} <= before
            assert run.name not in before
            before.add(run.name)


def test_stage_one_is_given_or_it_is_the_run_with_all_evidence() -> None:
    given = {run.name: run for run in plan_runs(make_config(ANYWHERE))}
    trained = {run.name: run for run in plan_runs(make_config(ANYWHERE, inputs={"stage_1": None}))}
    assert given["stage-1"].action == "given"
    assert given["evidence-all"].group == "evidence-all"
    assert "stage-1" not in trained
    assert trained["evidence-all"].group == "stage-1"
    assert trained["stage-2-1"].start == "evidence-all"


def test_stages_two_and_three_are_repeated_over_the_seeds() -> None:
    runs = plan_runs(make_config(ANYWHERE, seeds=[4, 5, 6], variant_seeds=[5]))
    seeds: dict[str, list[int]] = {}
    for run in runs:
        if run.action in ("preference", "piopd"):
            seeds.setdefault(run.group, []).append(run.seed)
            assert run.start in ("stage-1", f"stage-2-{run.seed}")
    assert {group for group, found in seeds.items() if found == [4, 5, 6]} == {
        "stage-2", "stage-3", "stage-3-without-2",
    }  # fmt: skip
    assert {tuple(found) for group, found in seeds.items() if not group.startswith("stage-")} == {(5,)}


def test_a_part_has_the_runs_that_it_shows_and_those_before_them() -> None:
    runs = plan_runs(make_config(ANYWHERE, seeds=[1]))
    names = [run.name for run in select_runs(runs, select_parts(["table5"]))]
    assert names == ["stage-1", "stage-2-1", "teachers-1"]
    assert select_parts(["table4"]) == ("table4-evidence", "table4-prompt", "table4-piopd")
    assert select_parts([]) == PARTS
    with pytest.raises(InputError, match=r"--only table9: the parts are table3, "):
        select_parts(["table9"])


def test_a_run_can_be_named_and_brings_those_before_it() -> None:
    runs = plan_runs(make_config(ANYWHERE, seeds=[1, 2], inputs={"lists": None, "logs": Path("w")}))
    assert [run.name for run in name_runs(runs, ["piopd-control-2"])] == [
        "stage-1", "lists", "stage-2-2", "piopd-control-2",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"--run stage-4: the runs are stage-1, "):
        name_runs(runs, ["stage-4"])


def test_every_row_of_a_comparison_has_runs_in_the_plan() -> None:
    runs = plan_runs(make_config(ANYWHERE))
    for part, (_, rows) in COMPARISONS.items():
        shown = {run.group for run in runs if part in run.parts}
        assert {row.group for row in rows} == shown


def test_the_terms_of_stage_three_are_added_one_after_another() -> None:
    config = make_config(ANYWHERE, seeds=[1])
    by_name = {run.group: run for run in plan_runs(config)}

    def flat(name: str) -> dict[str, Any]:
        settings = stage_settings(by_name[name], config)
        values = to_dict(load_stage(PiopdConfig, CONFIG_FOLDER / "piopd.yaml", settings))
        return {**values["weights"], "temperature": values["teacher"]["temperature"]}

    chain = [flat(name) for name in (*(term.name for term in TERMS), "stage-3")]
    assert chain[0] == {
        "forward_kl": 0.5, "reverse_kl": 0.5, "sft": 0.0, "entropy": 0.0, "r_drop": 0.0, "fgm": 0.0, "temperature": 1.0,
    }  # fmt: skip
    added = [{name for name in after if after[name] != before[name]} for before, after in itertools.pairwise(chain)]
    assert added == [{"sft"}, {"reverse_kl"}, {"temperature"}, {"r_drop", "fgm"}, {"entropy"}]


def test_the_control_of_stage_three_has_the_loss_of_stage_one_alone() -> None:
    config = make_config(ANYWHERE, seeds=[1])
    control = next(run for run in plan_runs(config) if run.group == "piopd-control")
    settings = stage_settings(control, config)
    weights = to_dict(load_stage(PiopdConfig, CONFIG_FOLDER / "piopd.yaml", settings))["weights"]
    assert {name for name, weight in weights.items() if weight} == {"sft"}


def test_commands_continue_what_is_there(tmp_path: Path) -> None:
    config = make_config(
        ANYWHERE, processes=2, seeds=[1], inputs={"foundation": Path("f"), "lists": None, "logs": Path("w")}
    )
    runs = {run.name: run for run in plan_runs(config)}

    def words(name: str) -> str:
        return " ".join(command(runs[name], config, tmp_path))

    for name, run in runs.items():
        if run.action in STAGES:
            assert "--standalone --nproc-per-node 2 -m cli.main train" in words(name)
            assert f" {run_folder(tmp_path, name) / 'checkpoint'} --resume --cache {tmp_path / 'packed'} " in words(
                name
            )
    assert f"--init-from {config.inputs.stage_1} " in words("stage-2-1")
    assert f"--init-from {run_folder(tmp_path, 'stage-2-1') / 'checkpoint'} " in words("stage-3-1")
    assert "--init-from f " in words("evidence-title")
    assert words("evidence-title").endswith("render.anchors=0 --set render.histories=0 --set render.personal=0")
    assert f"--tokenizer {config.inputs.tokenizer} " in words("prompt-verbose")
    assert f" {run_folder(tmp_path, 'prompts') / 'examples'} " in words("prompt-verbose")
    assert "offline lists w " in words("lists")


# Statistics


def answers(*queries: str, target: str = "right") -> Measured:
    predictions = [[*part.split()] for part in queries]
    return Measured(predictions, score_all(predictions, [target] * len(queries)), np.full(len(queries), 0.5))


def test_figures_are_over_seeds_where_there_are_several_and_over_videos_otherwise() -> None:
    one, two = answers("right", "wrong", "wrong", "wrong"), answers("right", "right", "wrong", "wrong")
    photos = ["a", "b", "c", "d"]
    found = figure([one, two], "hr", photos)
    # t with one degree of freedom is 12.706; the standard error of .25 and .5 is .125.
    assert found.mean == pytest.approx(0.375)
    assert found.high == pytest.approx(0.375 + 12.706 * 0.125, rel=1e-3)
    single = figure([one], "hr", photos)
    assert single.low is not None
    assert single.high is not None
    assert single.low < single.mean == 0.25 < single.high
    assert over_seeds([0.3]).low is None


def test_a_difference_is_paired_on_the_clicks() -> None:
    photos = [f"p{number}" for number in range(40)]
    some = answers(*["right", "wrong"] * 20)
    assert difference([some], [some], "hr", photos) == difference([some, some], [some], "hr", photos)
    assert difference([some], [some], "hr", photos).high == 0
    better = answers(*["right", "wrong", "right", "right"] * 10)
    found = difference([better], [some], "hr", photos)
    assert found.mean == pytest.approx(0.25)
    assert found.low is not None
    assert found.low > 0


def test_hit_rates_count_the_ranks_up_to_the_cutoff() -> None:
    run = answers("right", "no right", "no no2 right", "no")
    assert [found.mean for found in hit_rates([run], [1, 2, 3, 8], list("abcd"))] == [0.25, 0.5, 0.75, 0.75]


def test_a_curve_has_the_later_of_two_records_of_a_step(tmp_path: Path) -> None:
    write_curve(tmp_path)
    assert [(point["step"], point["hr@8"]) for point in evaluations(tmp_path)] == [(0, 0.2), (2, 0.3)]
    assert [point["forward_kl"] for point in losses(tmp_path)] == [0.5]
    assert last_step(tmp_path) == {"steps": 2, "seconds": 3.0, "best_step": 2, "valid_hr@8": 0.3}
