from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model_export.calibration import activation_ranges, random_sources
from model_export.checkpoint import load_checkpoint
from model_export.quantize import ActivationRange

SOURCES = [[0, 165, 198, 279, 2], [0, 40, 25, 213, 5, 194, 5, 77, 54, 126, 5, 2]]


def test_every_projection_of_the_decoder_has_a_range_that_holds_its_inputs(checkpoint_path: Path) -> None:
    checkpoint = load_checkpoint(checkpoint_path)
    ranges = activation_ranges(checkpoint, SOURCES)
    layers = range(checkpoint.architecture.decoder_layers)
    expected = {
        f"model.decoder.layers.{layer}.{part}"
        for layer in layers
        for part in (
            "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj",
            "encoder_attn.q_proj", "encoder_attn.out_proj", "fc1", "fc2",
        )
    }  # fmt: skip
    assert set(ranges) == expected | {"lm_head"}

    seen: list[torch.Tensor] = []
    module = checkpoint.model.model.decoder.layers[1].fc2
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        checkpoint.model(input_ids=torch.tensor(SOURCES[:1]), decoder_input_ids=torch.tensor([[2]]))
    hook.remove()
    span = ranges["model.decoder.layers.1.fc2"]
    assert span.low <= float(seen[0].min())
    assert float(seen[0].max()) <= span.high
    assert span.low >= -0.171  # GELU has no smaller value


def test_random_sources_look_like_rendered_ones(checkpoint_path: Path) -> None:
    checkpoint = load_checkpoint(checkpoint_path)
    sources = random_sources(checkpoint)
    assert sources == random_sources(checkpoint)
    assert max(map(len, sources)) == checkpoint.render_budgets.max_source_tokens
    assert all(source[0] == 0 and source[-1] == 2 and min(source[1:-1], default=7) >= 7 for source in sources)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 2.0), (0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (-15.5, 6.2)])
def test_a_range_maps_onto_eight_bits_with_zero_exact(low: float, high: float) -> None:
    span = ActivationRange(low, high)
    assert 0 <= span.zero_point <= 255
    values = np.linspace(low, high, 1000)
    quantized = np.clip(np.rint(values / span.scale) + span.zero_point, 0, 255)
    assert np.abs((quantized - span.zero_point) * span.scale - values).max() <= 1.01 * span.scale
