"""Does the runs of a plan, one after another, each in a folder that can be resumed.

runs/NAME/run.json         what the run depends on
runs/NAME/train.log        what its command wrote
runs/NAME/checkpoint/      of a training run, with its metrics.jsonl
runs/NAME/trained.json     steps and seconds; once it is there, nothing is trained again
runs/NAME/answers.parquet  the answers to the measured clicks
runs/NAME/result.json      once it is there, with the clicks of today's configuration, the run is skipped
packed/                    rendered examples, shared by all runs
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.ablations.answers import Views, in_views, measured, write_answers
from benchmarks.ablations.curves import last_step
from benchmarks.ablations.facts import (
    ANSWERS,
    FACTS,
    RESULT,
    TRAINED,
    WITHOUT_ANSWERS,
    Workplace,
    is_finished,
    run_facts,
)
from benchmarks.ablations.plan import STAGES, Run, check_settings, checkpoint_folder, command, lists_folder, run_folder
from benchmarks.ablations.variants import VERBOSE
from benchmarks.same_facts import require_same_facts
from loadtest.machine import commit, describe_machine
from refresh.commands import end_with_parent
from training.checkpoint import STATE_FILE, write_json

Execute = Callable[[Sequence[str], Path], None]
"""Runs a command, appends its output to a file, and raises CalledProcessError where it fails."""


def execute_command(arguments: Sequence[str], log: Path) -> None:
    """Run a command in a process of its own, which ends when this process ends; see `Execute`."""
    # On SIGTERM torchrun ends its processes too.
    end = partial(end_with_parent, signal.SIGTERM)
    with open(log, "ab") as output:
        subprocess.run(arguments, stdout=output, stderr=output, check=True, preexec_fn=end)


def do_runs(runs: Sequence[Run], place: Workplace, execute: Execute = execute_command) -> dict[str, str]:
    """Do each run that is not finished, and return the failed ones with the reason.

    A run whose command fails does not stop those that do not need it, and is done again by the next call.

    Raises:
        EvaluationError: an input is missing, a folder has a run of other data or settings, or a model cannot be asked.
        TrainingError: a setting cannot be used, or a checkpoint cannot be read.
    """
    check_settings(runs, place.config)
    _ = place.clicks  # a missing input is reported before the training
    failed: dict[str, str] = {}
    for number, run in enumerate(runs, start=1):
        missing = next((name for name in (run.start, *run.needs) if name in failed), None)
        if missing is not None:
            failed[run.name] = f"needs {missing}"
            continue
        try:
            do_run(run, place, f"{number}/{len(runs)} {run.name}", execute)
        except subprocess.CalledProcessError:
            failed[run.name] = _last_line(run_folder(place.work, run.name) / "train.log")
    return failed


def do_run(run: Run, place: Workplace, title: str, execute: Execute = execute_command) -> None:
    """Do one run unless it is finished; measure it again, without training, where the clicks have changed.

    Raises:
        CalledProcessError: its command failed.
        EvaluationError: see `do_runs`.
        TrainingError: a checkpoint cannot be read.
    """
    folder = run_folder(place.work, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    facts = run_facts(run, place)
    if (folder / FACTS).is_file():
        require_same_facts(folder / FACTS, facts)
    else:
        write_json(folder / FACTS, facts)
    if is_finished(run, place):
        return
    if run.action in ("lists", *STAGES) and not (folder / TRAINED).is_file():
        _say(f"{title}: {'making lists' if run.action == 'lists' else 'training'}")
        _train(run, place, execute)
    begun = time.perf_counter()
    if run.action == "prompts":
        _say(f"{title}: writing")
        _write_prompts(place, folder / "examples")
    elif run.action not in WITHOUT_ANSWERS:
        _say(f"{title}: measuring")
        write_answers(folder / ANSWERS, _measure(run, place))
    result = {
        "run": run.name,
        "overrides": list(run.overrides),
        "measured_on": place.measured_on,
        "commit": commit(),
        "cpu": describe_machine()["cpu"],
        "training": _read_json(folder / TRAINED),
        "measuring_seconds": round(time.perf_counter() - begun, 1),
    }
    write_json(folder / RESULT, result)
    if place.config.measure.weights == "best":
        # Optimizer and two copies of the weights; nothing reads them any more.
        (folder / "checkpoint" / STATE_FILE).unlink(missing_ok=True)


def _train(run: Run, place: Workplace, execute: Execute) -> None:
    folder = run_folder(place.work, run.name)
    if run.action == "lists":
        shutil.rmtree(lists_folder(place.config, place.work), ignore_errors=True)
    begun = time.perf_counter()
    execute(command(run, place.config, place.work), folder / "train.log")
    progress = last_step(folder / "checkpoint") if run.action in STAGES else {}
    write_json(folder / TRAINED, {"wall_seconds": round(time.perf_counter() - begun, 1), **progress})


def _write_prompts(place: Workplace, out: Path) -> None:
    from tokenizers import Tokenizer

    from benchmarks.ablations.verbose import write_verbose

    inputs = place.config.inputs
    write_verbose(inputs.examples, Tokenizer.from_file(str(inputs.new_tokenizer)), out)


def _measure(run: Run, place: Workplace) -> Mapping[str, Views]:
    """Return what the systems of a run answer."""
    if run.action == "baselines":
        return _baselines(place)
    from benchmarks.ablations.measure import Reader, measure_checkpoint, measure_teachers

    config = place.config
    # A teacher has the best weights of its stage, from which Stage III starts.
    source = run.start if run.action == "teachers" else run.name
    assert source is not None
    last = config.measure.weights == "last" and run.action in STAGES
    reader = Reader.load(checkpoint_folder(source, config, place.work), config.threads, last)
    if run.action == "teachers":
        return measure_teachers(reader, place.clicks, place.embedder, run.seed)
    return {run.name: measure_checkpoint(reader, place.clicks, place.embedder, verbose=run.group == VERBOSE)}


def _baselines(place: Workplace) -> dict[str, Views]:
    from evaluation.baseline_systems import baselines
    from evaluation.language_model import LanguageModel
    from evaluation.shop_logs import ShopLogs
    from evaluation.zero_shot import ZeroShot

    config, examples, embedder = place.config, place.clicks, place.embedder
    zero_shot = None
    if config.zero_shot is not None:
        model = LanguageModel(config.zero_shot.url, config.zero_shot.model, "zero_shot.", config.zero_shot.concurrency)
        zero_shot = ZeroShot(model, show_progress=True)
    systems = baselines(
        config.inputs.examples,
        "test",
        embedder,
        popularity=embedder.tuned.get("popularity", 0.0),
        logs=None if config.inputs.logs is None else ShopLogs(config.inputs.logs),
        zero_shot=zero_shot,
    )
    views = in_views(examples)
    return {
        system.name: {view: measured(system.predict(seen), examples, embedder) for view, seen in views.items()}
        for system in systems
    }


def _read_json(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
