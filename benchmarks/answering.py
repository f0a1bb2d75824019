"""What a checkpoint answers to sources, by beam search of the mixture in torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from evaluation.metrics import CUTOFF, distinct
from evaluation.predict import Answer
from training.batches import collate
from training.checkpoint import Checkpoint
from training.config import GenerationDefaults
from training.data import Ragged
from training.mixture import read_pointer
from training.model import Device, encode
from training.tokenizer import special_token_ids
from training.validation import reject_probabilities, search

_SOURCES_AT_ONCE = 64

Source = tuple[int, ...]
"""The token ids of a rendered source."""


def answer_sources(
    checkpoint: Checkpoint, device: Device, sources: Iterable[Source], generation: GenerationDefaults, label: str
) -> dict[Source, Answer]:
    """Return the answer to each distinct source.

    Args:
        checkpoint: its model is on `device`.
        device: where to compute.
        sources: to be answered.
        generation: how beam search runs.
        label: of the progress bar.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    special = special_token_ids(tokenizer)
    order = sorted(set(sources), key=lambda source: (len(source), source))
    packed, ends = Ragged.from_lists(order), Ragged.from_lists([[special["eos"]]] * len(order))
    answers: dict[Source, Answer] = {}
    with torch.inference_mode(), device.autocast():
        for start in tqdm(range(0, len(order), _SOURCES_AT_ONCE), desc=label, unit="batch", mininterval=5):
            rows = np.arange(start, min(start + _SOURCES_AT_ONCE, len(order)))
            batch = collate(packed, ends, rows, special["pad"], special["eos"]).to(device.device)
            states = encode(model, batch.source, batch.source_mask)
            pointed = read_pointer(model, batch.source, batch.source_mask, states)
            rejected = reject_probabilities(model, batch, states, pointed, special["reject"])
            found = search(model, batch.source, batch.source_mask, states, pointed, generation)
            for row, hypotheses, p_reject in zip(rows.tolist(), found, rejected.tolist(), strict=True):
                answers[order[row]] = _answer(tokenizer, hypotheses, p_reject, special["reject"])
    return answers


def _answer(tokenizer: Tokenizer, hypotheses: Sequence[list[int]], p_reject: float, reject: int) -> Answer:
    kept = [hypothesis for hypothesis in hypotheses if hypothesis[:1] != [reject]]
    written = [tokenizer.decode(hypothesis, skip_special_tokens=True).strip() for hypothesis in kept]
    return Answer(distinct(written)[:CUTOFF], p_reject, hypotheses[0][:1] == [reject])
