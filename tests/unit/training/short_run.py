"""A few steps of Stage I in this process, and the figures that it logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.config import SftConfig, from_dict
from training.sft import finetune

MODEL = {
    "encoder_layers": 1, "decoder_layers": 1, "d_model": 32, "ffn_dim": 64, "attention_heads": 2, "dropout": 0.0,
}  # fmt: skip


def run(examples: Path, tokenizer: Path, out: Path, epoch_workers: int = 0, **optim: Any) -> list[dict[str, float]]:
    """Return the record of each step.

    Args:
        examples: folder of examples.
        tokenizer: tokenizer.json.
        out: the checkpoint folder.
        epoch_workers: processes that open epochs ahead.
        optim: over the settings of the optimizer.
    """
    values = {
        "model": MODEL,
        "runtime": {"device": "cpu", "precision": "fp32", "log_every_steps": 1, "epoch_workers": epoch_workers},
        "optim": {"learning_rate": 3e-3, "warmup_steps": 0, "epochs": 1000, "max_steps": 5, **optim},
        "validation": {"every_steps": 100, "click_examples": 4, "reject_examples": 2},
        "generation": {"max_new_tokens": 12},
        "targets_per_source": 1,
    }
    cache = examples / ".packed"
    finetune([examples], out, from_dict(SftConfig, values), tokenizer=tokenizer, init_from=None, cache=cache)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if "loss" in record]
