"""The pointer of a checkpoint as the file of a bundle (generation/bundle/pointer.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from evidence.entries import FIELD_PLACES, find_entries
from generation.backend import open_sessions
from generation.bundle import Bundle
from model_export.checkpoint import Checkpoint


def pointer_section(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return what the manifest says about the pointer; nothing without one."""
    pointer = checkpoint.model.pointer
    return {"pointer": {"hidden": pointer.inner.out_features, "places": FIELD_PLACES}} if pointer else {}


def pointer_bytes(checkpoint: Checkpoint) -> bytes | None:
    """Return the content of the file, with the gain of the scores in the weights; None without a pointer."""
    pointer = checkpoint.model.pointer
    if pointer is None:
        return None
    gain = pointer.gain
    parts = (
        pointer.inner.weight.T, pointer.inner.bias, gain * pointer.outer.weight, gain * pointer.place,
        gain * pointer.generate.weight, gain * pointer.generate.bias,
    )  # fmt: skip
    return b"".join(np.ascontiguousarray(part.detach().numpy(), "<f4").tobytes() for part in parts)


def pointer_difference(checkpoint: Checkpoint, bundle: Bundle, sources: Sequence[Sequence[int]]) -> float:
    """Return the largest difference of a probability between the pointers of a checkpoint and of its bundle.

    Args:
        checkpoint: has a pointer.
        bundle: made from it.
        sources: token ids of rendered inputs.
    """
    model, pointer = checkpoint.model, bundle.pointer
    assert model.pointer is not None
    assert pointer is not None
    encoder, _ = open_sessions(bundle, 1, "auto")
    largest = 0.0
    for source in sources:
        entries = find_entries(source, pointer.separator, pointer.between)
        if not entries:
            continue
        starts, _, places = (torch.tensor([column]) for column in zip(*entries, strict=True))
        with torch.inference_mode():
            states = model.model.encoder(input_ids=torch.tensor([source])).last_hidden_state
            present = torch.ones_like(starts, dtype=torch.bool)
            generate, exact = model.pointer(model.values_of(states), starts, places, present)
        expected: dict[tuple[int, ...], float] = {}
        for entry, logprob in zip(entries, exact[0].tolist(), strict=True):
            tokens = tuple(source[entry.start : entry.end])
            expected[tokens] = expected.get(tokens, 0.0) + float(np.exp(logprob))
        found = pointer.read(encoder.run(source)[1], source)
        largest = max(largest, abs(float(np.exp(found.generate)) - float(generate.exp())))
        largest = max(largest, *(abs(float(np.exp(found.entries[tokens])) - p) for tokens, p in expected.items()))
    return largest
