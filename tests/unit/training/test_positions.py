from __future__ import annotations

import torch
from tokenizers import Tokenizer

from training.config import ModelConfig
from training.copying_start import wave_frequencies
from training.model import build_model
from training.positions import continue_waves, extend_positions

TINY = ModelConfig(
    encoder_layers=1, decoder_layers=1, d_model=16, ffn_dim=32, attention_heads=2, max_positions=96, dropout=0.0
)


def test_waves_go_on_where_they_ended() -> None:
    frequencies = wave_frequencies(256, 4)
    angles = torch.arange(144)[:, None] * frequencies
    waves = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)  # [144, 64]
    rows = torch.cat([waves, torch.full((144, 2), 0.5)], dim=1)
    torch.testing.assert_close(continue_waves(rows[:128], 16, frequencies), rows[128:], rtol=0, atol=1e-4)


def test_old_positions_and_what_they_give_stay(tokenizer: Tokenizer) -> None:
    model = build_model(TINY, tokenizer).eval()
    source = torch.tensor([[0, 30, 31, 2]])
    before = model(input_ids=source).logits
    extend_positions(model, 128)
    assert model.model.encoder.embed_positions.weight.shape[0] == 130
    assert model.config.max_position_embeddings == 128
    torch.testing.assert_close(model(input_ids=source).logits, before)


def test_positions_that_suffice_are_not_touched(tokenizer: Tokenizer) -> None:
    model = build_model(TINY, tokenizer)
    weight = model.model.encoder.embed_positions.weight
    extend_positions(model, 96)
    assert model.model.encoder.embed_positions.weight is weight
