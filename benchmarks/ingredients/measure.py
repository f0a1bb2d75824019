"""The figures of a trained variant. They are of its last step, where the learning rate has decayed to zero.

The checkpoint has the weights of the best evaluation instead. With few clicks in an evaluation that choice is mostly
chance, which would blur the differences between variants.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.answering import answer_sources
from benchmarks.ingredients.plan import FIGURES, Plan
from evaluation.inputs import decontaminate, read_examples
from evaluation.metrics import METRICS, score_all
from evidence.render import Renderer
from training.augmentation import Alphabet
from training.checkpoint import Checkpoint, load_checkpoint
from training.config import GenerationDefaults, RuntimeConfig, ValidationConfig
from training.copying_probe import copy_accuracy, make_probe
from training.data import load_examples
from training.model import Device, choose_device
from training.run_state import load_last_weights
from training.validation import sample_validation, validate


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    """Return steps, samples and seconds of Stage I, copy_accuracy, and the figures on each shop.

    Args:
        folder: of the finished Stage I.
        plan: has the shops and the number of clicks.

    Raises:
        TrainingError: the checkpoint or the examples cannot be read.
    """
    checkpoint = load_checkpoint(folder)
    progress = load_last_weights(checkpoint, folder)
    device = choose_device(RuntimeConfig(**checkpoint.meta.training["config"]["runtime"]))
    device.prepare(checkpoint.model)
    words = checkpoint.tokenizer
    probe = make_probe(Alphabet.of(words), plan.seed)
    return {
        "steps": progress["step"],
        "samples": progress["samples"],
        "seconds": round(progress["seconds"], 1),
        "copy_accuracy": round(copy_accuracy(checkpoint.model, probe, device), 4),
        "own": _on_shop(checkpoint, plan.shops[0] / "examples_valid.parquet", plan, device),
        "unseen": {
            shop.name: _on_shop(checkpoint, shop / "examples_test.parquet", plan, device) for shop in plan.unseen
        },
    }


def _on_shop(checkpoint: Checkpoint, examples: Path, plan: Plan, device: Device) -> dict[str, float]:
    generation = GenerationDefaults(**checkpoint.meta.generation)
    packed = load_examples(
        examples, checkpoint.tokenizer, checkpoint.meta.render, generation.max_new_tokens, examples.parent / ".packed"
    )
    sample = sample_validation(packed, ValidationConfig(click_examples=plan.clicks, reject_examples=0), plan.seed)
    threshold = checkpoint.meta.reject_threshold
    found = validate(checkpoint.model, checkpoint.tokenizer, sample, generation, threshold, device)
    found["decontaminated"] = _decontaminated(checkpoint, examples, plan, device)
    return {"clicks": len(sample), **{name: round(found[name], 4) for name in FIGURES}}


def _decontaminated(checkpoint: Checkpoint, examples: Path, plan: Plan, device: Device) -> float:
    """Return HR@8 on clicks whose anchors, histories and personal queries that contain the target are removed."""
    clicks = decontaminate(read_examples(examples, kind="click", limit=plan.clicks, seed=plan.seed))
    renderer = Renderer(checkpoint.tokenizer, checkpoint.meta.render)
    sources = [tuple(renderer.render(click.evidence()).token_ids) for click in clicks]
    generation = GenerationDefaults(**checkpoint.meta.generation)
    answers = answer_sources(checkpoint, device, sources, generation, "decontaminated")
    scores = score_all([answers[source].queries for source in sources], [click.target for click in clicks])
    return float(scores[:, METRICS.index("hr")].mean())
