"""The ranges of the decoder's activations, measured on hypotheses that the model generates.

The ranges are constants instead of being measured per batch. So the rounding of a request does not depend on the other
requests, and its answer is the same in every batch (docs/adr/0020). The encoder runs one source at a time and needs no
constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from model_export.checkpoint import Checkpoint
from model_export.layers import LM_HEAD
from model_export.parity import reference_answers
from model_export.quantize import ActivationRange

RANDOM_SOURCES = 16
_KEYS_AND_VALUES_OF_SOURCE = ("encoder_attn.k_proj", "encoder_attn.v_proj")  # they are the encoder graph's


def activation_ranges(checkpoint: Checkpoint, sources: Sequence[Sequence[int]]) -> dict[str, ActivationRange]:
    """Return the range of the input of every projection in the decoder, over all steps and beams of a beam search.

    Args:
        checkpoint: whose model is run, in fp32.
        sources: token ids of rendered inputs; `random_sources` where there are none.

    Returns:
        By the projection's name in the checkpoint, "lm_head" among them.
    """
    seen: dict[str, ActivationRange] = {}
    modules = {f"model.decoder.{name}": module for name, module in checkpoint.model.model.decoder.named_modules()}
    modules[LM_HEAD] = checkpoint.model.lm_head
    hooks = [
        module.register_forward_pre_hook(_observe(name, seen))
        for name, module in modules.items()
        if isinstance(module, nn.Linear) and not name.endswith(_KEYS_AND_VALUES_OF_SOURCE)
    ]
    try:
        reference_answers(checkpoint.model, sources, checkpoint.generation, checkpoint.special_tokens, "calibration")
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def random_sources(checkpoint: Checkpoint) -> list[list[int]]:
    """Return sources of random tokens. Their activations have about the ranges of real ones, which are better."""
    generator = np.random.default_rng(0)
    specials = checkpoint.special_tokens
    lengths = np.linspace(4, checkpoint.render_budgets.max_source_tokens, RANDOM_SOURCES).astype(int)
    first = max(specials.sep, specials.reject) + 1
    after_last = checkpoint.architecture.vocab_size
    return [
        [specials.bos, *generator.integers(first, after_last, length - 2).tolist(), specials.eos] for length in lengths
    ]


def _observe(name: str, seen: dict[str, ActivationRange]) -> Callable[[nn.Module, Any], None]:
    def widen(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        low, high = (float(extreme) for extreme in torch.aminmax(inputs[0]))
        known = seen.get(name, ActivationRange(low, high))
        seen[name] = ActivationRange(min(low, known.low), max(high, known.high))

    return widen
