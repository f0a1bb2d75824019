"""All stages, each once undisturbed, and once broken off and resumed.

    python -m tests.unit.training.resuming DATA OUT ACCUMULATE_STEPS

DATA has tokenizer.json, examples and lists. torchrun may start several processes of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from training.config import PretrainConfig, SftConfig, from_dict
from training.piopd.stage import distill
from training.policy_config import PiopdConfig, PreferenceConfig
from training.preference.stage import align
from training.pretrain import pretrain
from training.sft import finetune

STAGES = ("pretrain", "sft", "preference", "piopd")
STEPS, SAVE_EVERY, BREAK_AT = 5, 2, 4

MODEL = {
    "encoder_layers": 1, "decoder_layers": 1, "d_model": 32, "ffn_dim": 64, "attention_heads": 2, "dropout": 0.1,
}  # fmt: skip
VALIDATION = {"every_steps": 100, "click_examples": 4, "reject_examples": 2}


def config(kind: type[Any], accumulate_steps: int, **changes: Any) -> Any:
    """Return the configuration of a stage: five steps with dropout, saved after every second one."""
    optim = {
        "learning_rate": 3e-3, "warmup_steps": 1, "batch_size": 4, "epochs": 1000, "max_steps": STEPS,
        "accumulate_steps": accumulate_steps,
    }  # fmt: skip
    runtime = {"device": "cpu", "precision": "fp32", "save_every_steps": SAVE_EVERY, "threads": 1}
    return from_dict(kind, {"optim": optim, "runtime": runtime} | changes)


@contextmanager
def power_cut() -> Iterator[None]:
    """Break a run off before it applies a step that was not saved yet."""
    step, steps = torch.optim.AdamW.step, 0

    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == BREAK_AT:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with patch.object(torch.optim.AdamW, "step", broken):
        try:
            yield
        except KeyboardInterrupt:
            return
    raise AssertionError("the run was not broken off")


def runs(data: Path, out: Path, accumulate_steps: int) -> dict[str, Callable[[Path, bool], Any]]:
    """Return a function of each stage that runs it: (folder, whether to resume). A stage continues the one before."""
    examples, lists, cache = data / "examples", data / "lists", data / "packed"

    def start(stage: str) -> Path:
        return out / stage / "whole"

    zero = config(
        PretrainConfig, accumulate_steps, model=MODEL, epoch_documents=64, validation_documents=8,
        generation={"max_new_tokens": 12},
    )  # fmt: skip
    one = config(SftConfig, accumulate_steps, model=MODEL, validation=VALIDATION, generation={"max_new_tokens": 12})
    two = config(PreferenceConfig, accumulate_steps, validation=VALIDATION, dropout=0.1)
    three = config(
        PiopdConfig, accumulate_steps, validation=VALIDATION, diagnostic_examples=2,
        teacher={"ema_every_steps": 2, "ema_decay": 0.5},
    )  # fmt: skip
    return {
        "pretrain": lambda folder, resume: pretrain(
            examples, folder, zero, tokenizer=data / "tokenizer.json", init_from=None, logs=None, cache=cache,
            resume=resume,
        ),
        "sft": lambda folder, resume: finetune(
            [examples], folder, one, tokenizer=None, init_from=start("pretrain"), cache=cache, resume=resume
        ),
        "preference": lambda folder, resume: align(
            [lists], folder, two, init_from=start("sft"), validate_on=examples, cache=cache, resume=resume
        ),
        "piopd": lambda folder, resume: distill(
            [examples], folder, three, init_from=start("preference"), cache=cache, resume=resume
        ),
    }  # fmt: skip


def run_stages(data: Path, out: Path, accumulate_steps: int) -> None:
    """Leave the runs of all stages in OUT/STAGE/whole and OUT/STAGE/resumed."""
    for stage, run in runs(data, out, accumulate_steps).items():
        run(out / stage / "whole", False)
        with power_cut():
            run(out / stage / "resumed", False)
        run(out / stage / "resumed", True)


if __name__ == "__main__":
    run_stages(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
