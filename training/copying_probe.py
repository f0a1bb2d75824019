"""A probe of copying: how well a model continues random entries of its source.

The entries are random tokens, so nothing that a model remembers of a shop helps it. In training the figure shows when
reading appears, and whether a model that learns its shop by heart loses it again.
"""

from __future__ import annotations

import numpy as np
import torch

from training.augmentation import Alphabet
from training.batches import IGNORED_LABEL, Batch, collate
from training.data import Ragged
from training.generator import Generator
from training.model import Device, target_logits
from training.noising import join_on

_SOURCES = 128
_ENTRY_TOKENS = (2, 6)
_ENTRIES = 6


def make_probe(alphabet: Alphabet, seed: int) -> Batch:
    """Return the probe: sources with six random entries in two fields; the target is one of the entries.

    Args:
        alphabet: of the tokenizer.
        seed: of the entries.
    """
    rng = np.random.default_rng(seed)
    special, between, ordinary = alphabet.special, alphabet.between, alphabet.ordinary
    bos, sep, eos = special["bos"], special["sep"], special["eos"]
    sources, targets = [], []
    for _ in range(_SOURCES):
        entries = [rng.choice(ordinary, rng.integers(*_ENTRY_TOKENS), replace=False).tolist() for _ in range(_ENTRIES)]
        half = _ENTRIES // 2
        anchors, histories = join_on(entries[:half], between), join_on(entries[half:], between)
        sources.append([bos, sep, sep, *anchors, sep, *histories, sep, eos])
        targets.append([*entries[int(rng.integers(_ENTRIES))], eos])
    return collate(
        Ragged.from_lists(sources), Ragged.from_lists(targets), np.arange(_SOURCES), special["pad"], special["eos"]
    )


def copy_accuracy(model: Generator, probe: Batch, device: Device) -> float:
    """Return the share of the tokens behind an entry's first one, its end included, that the model finds most likely.

    The decoder is given the entry as far as it is known (teacher forcing). The first token is the cue; it is not
    counted.
    """
    with torch.inference_mode(), device.autocast():
        logits, labels, _ = target_logits(model, probe.to(device.device))
    counts = (probe.labels != IGNORED_LABEL).to(labels.device)  # [N, T]
    is_first = torch.zeros_like(counts)
    is_first[:, 0] = True
    counted = ~is_first[counts]  # [P]
    return float((logits.argmax(dim=-1) == labels)[counted].float().mean())
