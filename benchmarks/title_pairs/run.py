"""Stage I on the pairs of a file, in the folder of a run: from what `prepared` has written to `checkpoint/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.same_facts import require_same_facts
from benchmarks.title_pairs.prepared import EXAMPLES_FOLDER, SPLIT_FILE, TOKENIZER_FILE
from training.checkpoint import STATE_FILE
from training.config import CONFIG_FOLDER, SftConfig, load_config
from training.errors import CheckpointError
from training.run_state import Progress
from training.sft import finetune

CHECKPOINT_FOLDER = "checkpoint"
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
        facts: what the run depends on, as plain values.
        resume: continue the run in the folder.

    Raises:
        CheckpointError: there is a run and `resume` is False.
        InputError: the run in the folder was made from other pairs.
    """
    if (work / CHECKPOINT_FOLDER / STATE_FILE).is_file() and not resume:
        raise CheckpointError(f"{work} already has a run; give --resume to continue it, or another folder")
    if (work / SPLIT_FILE).is_file():
        require_same_facts(work / SPLIT_FILE, facts)


def train_generator(work: Path, config: SftConfig, init_from: Path | None, resume: bool) -> Progress:
    """Run Stage I on the examples of a folder; the best checkpoint is then in `work`/checkpoint.

    Args:
        work: the folder of the run.
        config: of Stage I.
        init_from: a checkpoint to start from, with its tokenizer; None starts from nothing.
        resume: continue the run in the folder.

    Raises:
        TrainingError: see `training.sft.finetune`.
    """
    return finetune(
        [work / EXAMPLES_FOLDER],
        work / CHECKPOINT_FOLDER,
        config,
        tokenizer=work / TOKENIZER_FILE if init_from is None else None,
        init_from=init_from,
        cache=work / "packed",
        resume=resume,
    )
