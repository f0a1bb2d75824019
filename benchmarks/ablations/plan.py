"""From a configuration to runs in an order in which each finds what it continues, and the command of each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.ablations.config import AblationConfig
from benchmarks.ablations.variants import (
    ALL_EVIDENCE,
    BASELINES,
    COMPACT,
    EVIDENCE,
    FULL_PARTS,
    LISTS,
    PARTS,
    PROMPTS,
    SKIPPED,
    STAGE_1,
    STAGE_2,
    STAGE_3,
    STAGE_3_VARIANTS,
    TEACHERS,
    VERBOSE,
)
from benchmarks.ablations.verbose import VERBOSE_BUDGETS
from evaluation.errors import InputError
from training.config import SftConfig
from training.config import load_config as load_stage
from training.policy_config import PiopdConfig, PreferenceConfig

Action = Literal["lists", "prompts", "baselines", "given", "sft", "preference", "piopd", "teachers"]
STAGES = {"sft": SftConfig, "preference": PreferenceConfig, "piopd": PiopdConfig}


@dataclass(frozen=True, slots=True)
class Run:
    """One step, with a folder of its own.

    Attributes:
        name: of the folder.
        group: what it is a run of; the runs of a group differ in their seed.
        action: what is done.
        parts: of the report that need it.
        start: the run whose checkpoint it continues, or that it measures.
        needs: other runs that come before.
        seed: of the training.
        overrides: `section.key=value` over the settings of the stage.
    """

    name: str
    group: str
    action: Action
    parts: tuple[str, ...]
    start: str | None = None
    needs: tuple[str, ...] = ()
    seed: int = 0
    overrides: tuple[str, ...] = ()


def plan_runs(config: AblationConfig) -> tuple[Run, ...]:
    """Return all runs, each behind those that it needs; the ones with the most to say come first."""
    return tuple(_runs(config))


def _runs(config: AblationConfig) -> Iterator[Run]:
    seeds, first = config.seeds, config.seeds[0]
    given = config.inputs.stage_1 is not None
    stage_1 = STAGE_1 if given else ALL_EVIDENCE
    shown = ("table3", "table4-piopd", "table7", "figure5", "figure6")
    if given:
        yield Run(STAGE_1, STAGE_1, "given", shown)
    evidence = {
        variant.name: Run(variant.name, variant.name, "sft", variant.parts, seed=first, overrides=variant.overrides)
        for variant in EVIDENCE
    }
    if not given:
        whole = evidence.pop(ALL_EVIDENCE)
        yield Run(whole.name, STAGE_1, "sft", (*whole.parts, *shown), seed=first)
    yield Run(BASELINES, BASELINES, "baselines", ("table3",))
    if config.inputs.lists is None:
        yield Run(LISTS, LISTS, "lists", ())
    for seed in seeds:
        stage_2 = f"{STAGE_2}-{seed}"
        needs = (LISTS,) if config.inputs.lists is None else ()
        parts = ("table3", "table4-piopd", "table7", "figure6")
        yield Run(stage_2, STAGE_2, "preference", parts, stage_1, needs, seed)
        yield Run(f"{STAGE_3}-{seed}", STAGE_3, "piopd", FULL_PARTS, stage_2, seed=seed)
        yield Run(f"{TEACHERS}-{seed}", TEACHERS, "teachers", ("table5",), stage_2, seed=seed)
    yield from evidence.values()
    for seed in seeds:
        yield Run(f"{SKIPPED}-{seed}", SKIPPED, "piopd", ("table7",), stage_1, seed=seed)
    for variant in STAGE_3_VARIANTS:
        for seed in config.seeds_of_variants:
            name = f"{variant.name}-{seed}"
            start = f"{STAGE_2}-{seed}"
            yield Run(name, variant.name, "piopd", variant.parts, start, (), seed, variant.overrides)
    yield Run(PROMPTS, PROMPTS, "prompts", ())
    yield Run(COMPACT, COMPACT, "sft", ("table4-prompt",), seed=first)
    budgets = tuple(f"render.{name}={size}" for name, size in VERBOSE_BUDGETS.to_dict().items())
    yield Run(VERBOSE, VERBOSE, "sft", ("table4-prompt",), needs=(PROMPTS,), seed=first, overrides=budgets)


def select_parts(names: Sequence[str]) -> tuple[str, ...]:
    """Return the parts that names stand for: `table4` for all its blocks; all parts without a name.

    Raises:
        InputError: a name stands for no part.
    """
    chosen: set[str] = set()
    for name in names:
        found = [part for part in PARTS if part == name or part.startswith(f"{name}-")]
        if not found:
            raise InputError(f"--only {name}: the parts are {', '.join(PARTS)}")
        chosen.update(found)
    return tuple(part for part in PARTS if part in chosen or not names)


def select_runs(runs: Iterable[Run], parts: Sequence[str]) -> tuple[Run, ...]:
    """Return the runs that the parts need, and those that these need, in the order of the plan."""
    known = list(runs)
    return _with_needed(known, {run.name for run in known if set(run.parts) & set(parts)})


def name_runs(runs: Iterable[Run], names: Sequence[str]) -> tuple[Run, ...]:
    """Return the named runs, and those that these need, in the order of the plan.

    Raises:
        InputError: a name is none of a run.
    """
    known = list(runs)
    missing = set(names) - {run.name for run in known}
    if missing:
        raise InputError(f"--run {min(missing)}: the runs are {', '.join(run.name for run in known)}")
    return _with_needed(known, set(names))


def _with_needed(known: Sequence[Run], wanted: set[str]) -> tuple[Run, ...]:
    for run in reversed(known):
        if run.name in wanted:
            wanted.update(run.needs, () if run.start is None else (run.start,))
    return tuple(run for run in known if run.name in wanted)


def stage_settings(run: Run, config: AblationConfig) -> tuple[str, ...]:
    """Return the values that a training run overrides in the YAML file of its stage; later ones win."""
    of_stage: tuple[str, ...] = getattr(config.settings, run.action)
    own = (f"optim.seed={run.seed}", f"runtime.threads={config.threads}")
    return (*config.settings.common, *of_stage, *own, *run.overrides)


def check_settings(runs: Iterable[Run], config: AblationConfig) -> None:
    """Refuse settings before anything is trained.

    Raises:
        ConfigError: a value cannot be used (training.errors).
    """
    from training.config import CONFIG_FOLDER

    for run in runs:
        if run.action in STAGES:
            kind = STAGES[run.action]
            load_stage(kind, CONFIG_FOLDER / f"{run.action}.yaml", stage_settings(run, config))


def command(run: Run, config: AblationConfig, work: Path) -> list[str]:
    """Return the command of a run that has one: the lists, and the training stages.

    A training command continues what an interrupted one has left.
    """
    inputs, folder = config.inputs, run_folder(work, run.name)
    onebar = [sys.executable, "-m", "cli.main"]
    if run.action == "lists":
        embedder = [] if inputs.embedder is None else ["--embedder", str(inputs.embedder)]
        first_day = ["--first-day", str(inputs.lists_first_day)]
        return [*onebar, "offline", "lists", str(inputs.logs), str(lists_folder(config, work)), *embedder, *first_day]
    if config.processes > 1:
        onebar = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        onebar += ["--nproc-per-node", str(config.processes), "-m", "cli.main"]
    data = lists_folder(config, work) if run.action == "preference" else examples_folder(run, config, work)
    options = ["--resume", "--cache", str(work / "packed")]
    if run.action == "preference":
        options += ["--validate-on", str(inputs.examples)]
    if run.action != "sft":
        assert run.start is not None
        options += ["--init-from", str(checkpoint_folder(run.start, config, work))]
    elif inputs.foundation is not None and run.group not in (VERBOSE, COMPACT):
        options += ["--init-from", str(inputs.foundation)]
    else:
        options += ["--tokenizer", str(inputs.new_tokenizer)]
    settings = [part for value in stage_settings(run, config) for part in ("--set", value)]
    return [*onebar, "train", run.action, str(data), str(folder / "checkpoint"), *options, *settings]


def run_folder(work: Path, name: str) -> Path:
    """Return the folder of a run."""
    return work / "runs" / name


def checkpoint_folder(name: str, config: AblationConfig, work: Path) -> Path:
    """Return the checkpoint that a run has made, or that was given."""
    if name == STAGE_1 and config.inputs.stage_1 is not None:
        return config.inputs.stage_1
    return run_folder(work, name) / "checkpoint"


def examples_folder(run: Run, config: AblationConfig, work: Path) -> Path:
    """Return the examples that a run is trained on."""
    return run_folder(work, PROMPTS) / "examples" if run.group == VERBOSE else config.inputs.examples


def lists_folder(config: AblationConfig, work: Path) -> Path:
    """Return the behaviour lists, given or made."""
    return config.inputs.lists or run_folder(work, LISTS) / "lists"
