"""The ablations: runs are done in order, skipped when finished, resumed, and measured; checkpoints are prepared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest
from tokenizers import Tokenizer

from benchmarks.ablations.answers import VIEWS, read_answers
from benchmarks.ablations.facts import Workplace, is_finished
from benchmarks.ablations.plan import STAGES, Run, plan_runs, run_folder, select_parts, select_runs
from benchmarks.ablations.run import Execute, do_run, do_runs
from benchmarks.ablations.statistics import metric
from benchmarks.ablations.verbose import as_text, prompt_renderer, write_verbose
from evaluation.errors import InputError
from evaluation.inputs import read_parquet
from evidence.render import RenderBudgets
from evidence.schema import Evidence
from tests.fixtures.ablation_shop import BRANDS, LISTS, ROWS, THINGS, make_config, row, write_curve, write_inputs
from training.checkpoint import STATE_FILE, CheckpointMeta, save_checkpoint
from training.config import GenerationDefaults, ModelConfig, to_dict
from training.errors import CheckpointError
from training.model import build_model
from training.tokenizer import special_token_ids, train_tokenizer


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples, lists, a tokenizer, and a checkpoint with random weights."""
    folder = write_inputs(tmp_path_factory.mktemp("inputs"))
    tokenizer = train_tokenizer(
        [f"{brand} {thing} best under 40 unboxing my" for brand in BRANDS for thing in THINGS], 400
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    shape = ModelConfig(1, 1, d_model=16, ffn_dim=16, attention_heads=2, pointer_hidden=4)
    generation = to_dict(GenerationDefaults(max_new_tokens=3))
    special = special_token_ids(tokenizer)
    meta = CheckpointMeta(RenderBudgets(), generation, {"threshold": 0.9}, special)
    save_checkpoint(folder / "stage_1", build_model(shape, tokenizer), tokenizer, meta)
    return folder


@pytest.fixture
def place(inputs: Path, tmp_path: Path) -> Workplace:
    return Workplace(make_config(inputs), tmp_path / "work")


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def execute(inputs: Path, calls: list[str]) -> Execute:
    """Leaves the checkpoint of Stage I under another name, two evaluations and a state."""

    def run(arguments: Sequence[str], log: Path) -> None:
        calls.append(log.parent.name)
        checkpoint = log.parent / "checkpoint"
        write_curve(checkpoint)
        for file in (inputs / "stage_1").iterdir():
            (checkpoint / file.name).write_bytes(file.read_bytes())
        (checkpoint / STATE_FILE).write_bytes(b"a state")

    return run


def needed(place: Workplace, *parts: str) -> tuple[Run, ...]:
    return select_runs(plan_runs(place.config), select_parts(parts))


def test_finished_runs_are_skipped_and_measured_again_for_other_clicks(
    place: Workplace, inputs: Path, execute: Execute, calls: list[str]
) -> None:
    runs = needed(place, "figure4")
    trained = [run.name for run in runs if run.action in STAGES]
    assert do_runs(runs, place, execute) == {}
    assert calls == trained == ["stage-2-1", "stage-3-1", "stage-2-2", "stage-3-2"]
    assert all(is_finished(run, place) for run in runs)
    stage_2 = run_folder(place.work, "stage-2-1")
    assert not (stage_2 / "checkpoint" / STATE_FILE).exists()
    answers = read_answers(stage_2 / "answers.parquet")["stage-2-1"]
    assert {view: len(found.predictions) for view, found in answers.items()} == dict.fromkeys(VIEWS, 10)
    assert json.loads((stage_2 / "result.json").read_text(encoding="utf-8"))["training"]["best_step"] == 2

    assert do_runs(runs, place, execute) == {}
    more = Workplace(make_config(inputs, measure={"clicks": 12}), place.work)
    assert not is_finished(runs[1], more)
    assert do_runs(runs, more, execute) == {}
    assert len(read_answers(stage_2 / "answers.parquet")["stage-2-1"]["as_served"].predictions) == 12
    assert calls == trained

    longer = Workplace(make_config(inputs, settings={"piopd": ["optim.epochs=9"]}, measure={"clicks": 12}), place.work)
    assert [is_finished(run, longer) for run in runs] == [run.action != "piopd" for run in runs]
    with pytest.raises(InputError, match=r"runs in .*/stage-3-1 have settings .*not .*optim.epochs=9"):
        do_runs(runs, longer, execute)


def test_an_interrupted_run_is_started_again(place: Workplace, execute: Execute, calls: list[str]) -> None:
    [run] = [run for run in plan_runs(place.config) if run.name == "stage-2-1"]

    def interrupted(arguments: Sequence[str], log: Path) -> None:
        assert "--resume" in arguments
        calls.append("interrupted")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do_run(run, place, "", interrupted)
    assert not is_finished(run, place)
    do_run(run, place, "", execute)
    assert calls == ["interrupted", "stage-2-1"]
    assert is_finished(run, place)


def test_a_failed_run_stops_only_those_that_need_it(place: Workplace, execute: Execute, calls: list[str]) -> None:
    def broken(arguments: Sequence[str], log: Path) -> None:
        if log.parent.name == "stage-2-1":
            log.write_text("step 1\nError: the loss is not finite\n\n", encoding="utf-8")
            raise CalledProcessError(1, list(arguments))
        execute(arguments, log)

    runs = needed(place, "figure4")
    assert do_runs(runs, place, broken) == {
        "stage-2-1": "Error: the loss is not finite",
        "stage-3-1": "needs stage-2-1",
    }
    assert calls == ["stage-2-2", "stage-3-2"]
    assert do_runs(runs, place, execute) == {}
    assert calls == ["stage-2-2", "stage-3-2", "stage-2-1", "stage-3-1"]


def test_a_missing_input_is_reported_before_the_training(
    inputs: Path, execute: Execute, calls: list[str], tmp_path: Path
) -> None:
    place = Workplace(make_config(inputs, inputs={"examples": tmp_path / "nothing"}), tmp_path / "work")
    with pytest.raises(InputError, match=r"examples_test.parquet is missing"):
        do_runs(plan_runs(place.config), place, execute)
    assert not calls


def test_the_last_weights_are_refused_when_their_state_is_gone(
    place: Workplace, inputs: Path, execute: Execute
) -> None:
    [run] = [run for run in plan_runs(place.config) if run.name == "stage-2-1"]
    do_run(run, place, "", execute)
    last = Workplace(make_config(inputs, measure={"clicks": 10, "weights": "last"}), place.work)
    with pytest.raises(CheckpointError, match=r"the weights of its last step are gone"):
        do_run(run, last, "", execute)


def test_baselines_are_measured_in_both_views(place: Workplace) -> None:
    [run] = [run for run in plan_runs(place.config) if run.action == "baselines"]
    do_run(run, place, "")
    found = read_answers(run_folder(place.work, run.name) / "answers.parquet")
    assert {"most popular", "title neighbours", "cached queries", "ANN"} <= set(found)
    # The clicked query is among the anchors, and taken out of them in the other view.
    hits = {view: metric(answers, "hr").mean() for view, answers in found["cached queries"].items()}
    assert hits == {"as_served": 1, "decontaminated": 0}


def test_the_teacher_reads_the_clicked_query_in_four_ways(place: Workplace, execute: Execute) -> None:
    assert do_runs(needed(place, "table5"), place, execute) == {}
    found = read_answers(run_folder(place.work, "teachers-1") / "answers.parquet")
    assert list(found) == ["append", "histories", "random", "masked_random"]
    assert all(set(views) == set(VIEWS) for views in found.values())


def test_a_field_without_budget_is_not_read_in_the_test(place: Workplace, inputs: Path, tmp_path: Path) -> None:
    from benchmarks.ablations.measure import Reader, measure_checkpoint

    meta_path = inputs / "stage_1" / "onebar.json"
    meta: dict[str, Any] = json.loads(meta_path.read_text(encoding="utf-8"))
    folder = tmp_path / "title_only"
    folder.mkdir()
    for file in (inputs / "stage_1").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    for field in ("summary", *LISTS):
        meta["render"][field] = 0
    (folder / meta_path.name).write_text(json.dumps(meta), encoding="utf-8")
    found = measure_checkpoint(Reader.load(folder, 1), place.clicks, place.embedder)
    texts = [example.title for example in place.clicks]
    by_text = dict(zip(texts, found["as_served"].predictions, strict=True))
    assert len(by_text) < len(texts)
    assert [by_text[text] for text in texts] == found["as_served"].predictions
    assert found["as_served"].predictions == found["decontaminated"].predictions


# The verbose prompt


def test_a_verbose_prompt_says_what_each_field_is_and_leaves_out_empty_ones(inputs: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(inputs / "tokenizer.json"))
    evidence = Evidence(text="unboxing my junra", anchors=("power bank under 40", "best power bank"))
    assert as_text(evidence, prompt_renderer(tokenizer)).caption == (
        "write the search query of a viewer of a short video. the title of the video is unboxing my junra. "
        "people who watch similar videos search for power bank under 40, best power bank."
    )
    write_verbose(inputs / "examples", tokenizer, tmp_path)
    written = read_parquet(tmp_path / "examples_train.parquet").to_pylist()
    assert [one["target"] for one in written] == [row(number)["target"] for number in range(ROWS)]
    assert all(one["caption"].startswith("write the search query") and not one["summary"] for one in written)
    assert all(one[name] == [] for one in written for name in LISTS)
