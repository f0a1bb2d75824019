"""What a checkpoint generates for a list of examples, and which queries stand in their sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from evaluation.metrics import CUTOFF, distinct, normal_form
from evidence.render import Renderer
from evidence.rows import evidence_of_row
from training.checkpoint import load_checkpoint
from training.config import GenerationDefaults, RuntimeConfig
from training.model import choose_device
from training.tokenizer import special_token_ids
from training.validation import generate

_SOURCES_AT_ONCE = 64


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
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    special = special_token_ids(tokenizer)
    device = choose_device(runtime)
    device.prepare(model)
    renderer = Renderer(tokenizer, checkpoint.meta.render)
    sources = [tuple(renderer.render(evidence_of_row(row)).token_ids) for row in rows]
    order = sorted(set(sources), key=lambda source: (len(source), source))
    answers: dict[tuple[int, ...], Answer] = {}
    with torch.inference_mode(), device.autocast():
        for start in tqdm(range(0, len(order), _SOURCES_AT_ONCE), desc="dev split", unit="batch"):
            part = order[start : start + _SOURCES_AT_ONCE]
            longest = len(part[-1])
            padded = torch.tensor([[*source, *[special["pad"]] * (longest - len(source))] for source in part])
            lengths = torch.tensor([len(source) for source in part])
            mask = (torch.arange(longest)[None, :] < lengths[:, None]).long()  # [B, S]
            found = generate(model, padded.to(device.device), mask.to(device.device), generation)
            for source, hypotheses in zip(part, found, strict=True):
                kept = [hypothesis for hypothesis in hypotheses if hypothesis[:1] != [special["reject"]]]
                queries = distinct(_text(tokenizer, hypothesis) for hypothesis in kept)
                answers[source] = Answer(queries[:CUTOFF], frozenset(map(normal_form, renderer.read(source).anchors)))
    return [answers[source] for source in sources]


def _text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True)
    return text.strip()
