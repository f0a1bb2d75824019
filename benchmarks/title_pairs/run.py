"""Stage I on the pairs of a file, in one folder.

split.json       what the examples depend on
examples/        examples_train.parquet and examples_valid.parquet
tokenizer.json   learnt from the train pairs, unless a checkpoint brings its own
checkpoint/      the trained model
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.same_facts import require_same_facts
from benchmarks.title_pairs.examples import training_texts, write_training
from benchmarks.title_pairs.pairs import Split
from training.checkpoint import STATE_FILE
from training.config import CONFIG_FOLDER, SftConfig, load_config
from training.errors import CheckpointError
from training.loop import Progress
from training.sft import finetune
from training.tokenizer import train_tokenizer

SETTINGS = (
    # A title and its anchors, and no other field.
    "render.text=36",
    "render.anchors=72",
    "render.summary=0",
    "render.histories=0",
    "render.personal=0",
    "render.max_source_tokens=114",
    # The minutes end the run. Reading begins late, so evaluations without a hit must not.
    "optim.epochs=1000",
    "validation.patience=1000",
)
"""What differs from training/configs/sft.yaml."""


def configure(minutes: float, overrides: Sequence[str]) -> SftConfig:
    """Return the configuration of Stage I: its defaults, SETTINGS, the minutes, then `section.key=value` overrides.

    Raises:
        ConfigError: an override cannot be used.
    """
    settings = (*SETTINGS, f"optim.max_minutes={minutes}", *overrides)
    return load_config(SftConfig, CONFIG_FOLDER / "sft.yaml", settings)


def check_folder(work: Path, facts: Mapping[str, Any], resume: bool) -> None:
    """Refuse a folder whose run is not to be continued, or was made from other pairs.

    Args:
        work: the folder.
        facts: what the examples depend on, as plain values.
        resume: continue the run in the folder.

    Raises:
        CheckpointError: there is a run and `resume` is False.
        InputError: the run in the folder was made from other pairs.
    """
    if not (work / "checkpoint" / STATE_FILE).is_file():
        return
    if not resume:
        raise CheckpointError(f"{work} already has a run; give --resume to continue it, or another folder")
    require_same_facts(work / "split.json", facts)


def train_generator(
    work: Path, split: Split, facts: Mapping[str, Any], config: SftConfig, init_from: Path | None, resume: bool
) -> Progress:
    """Write the examples, learn the tokenizer, and run Stage I; the best checkpoint is then in `work`/checkpoint.

    Args:
        work: the folder of the run.
        split: the pairs to train on.
        facts: what they depend on, as plain values.
        config: of Stage I.
        init_from: a checkpoint to start from; None starts from nothing.
        resume: continue the run in the folder.

    Raises:
        InputError: see `check_folder`.
        TrainingError: see `training.sft.finetune`.
    """
    check_folder(work, facts, resume)
    write_training(work / "examples", split)
    (work / "split.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    tokenizer = None
    if init_from is None:
        tokenizer = work / "tokenizer.json"
        train_tokenizer(training_texts(split)).save(str(tokenizer))
    return finetune(
        [work / "examples"],
        work / "checkpoint",
        config,
        tokenizer=tokenizer,
        init_from=init_from,
        cache=work / "packed",
        resume=resume,
    )
