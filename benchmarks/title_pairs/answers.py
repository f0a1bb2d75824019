"""What a checkpoint generates for a list of examples, and which queries stand in their sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answering import answer_sources
from evaluation.metrics import normal_form
from evidence.render import Renderer
from evidence.rows import evidence_of_row
from training.checkpoint import load_checkpoint
from training.config import GenerationDefaults, RuntimeConfig
from training.model import choose_device


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        queries: up to eight different ones, best first, as beam search of the checkpoint gives them.
        readable: the anchors that fit the source, as normal forms.
    """

    queries: list[str]
    readable: frozenset[str]


def answer_rows(
    folder: Path, rows: Sequence[Mapping[str, Any]], generation: GenerationDefaults, runtime: RuntimeConfig
) -> list[Answer]:
    """Return the answer of a checkpoint to each row of examples; equal sources are answered once.

    Raises:
        CheckpointError: the folder is no checkpoint.
    """
    checkpoint = load_checkpoint(folder)
    device = choose_device(runtime)
    device.prepare(checkpoint.model)
    renderer = Renderer(checkpoint.tokenizer, checkpoint.meta.render)
    sources = [tuple(renderer.render(evidence_of_row(row)).token_ids) for row in rows]
    found = answer_sources(checkpoint, device, sources, generation, "dev split")
    answers = {
        source: Answer(answer.queries, frozenset(map(normal_form, renderer.read(source).anchors)))
        for source, answer in found.items()
    }
    return [answers[source] for source in sources]
