"""A new model copies its source before any training; an adopted one is left as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BartForConditionalGeneration

from evidence.tokens import QUERY_SEPARATOR
from training.checkpoint import load_weights
from training.config import ModelConfig
from training.copying_probe import copy_accuracy, make_probe
from training.data import Ragged
from training.model import Device, adopt_model, build_model
from training.substitution import ordinary_tokens, substitute_tokens
from training.tokenizer import special_token_ids, train_tokenizer

CPU = Device(torch.device("cpu"), bf16=False)
SMALL = ModelConfig(encoder_layers=2, decoder_layers=2, d_model=256, ffn_dim=256, attention_heads=4, dropout=0.0)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return train_tokenizer([f"{a}{b} {b}{a}" for a in "abcdefghij" for b in "klmnopqrstuvw"] * 2, 600)


def copied(words: Tokenizer, config: ModelConfig) -> float:
    torch.manual_seed(3)
    model = build_model(config, words).eval()
    special, between = special_token_ids(words), words.token_to_id(QUERY_SEPARATOR)
    ordinary = ordinary_tokens(words.get_vocab_size(), special, between)
    return copy_accuracy(model, make_probe(ordinary, special, between, seed=1), CPU)


def test_a_new_model_continues_random_entries_of_its_source(words: Tokenizer) -> None:
    assert copied(words, SMALL) > 0.8


def test_a_random_start_does_not(words: Tokenizer) -> None:
    assert copied(words, replace(SMALL, copying_start=False)) < 0.05


@pytest.mark.parametrize(("d_model", "heads"), [(128, 2), (128, 8), (192, 3)])
def test_other_shapes_copy_too(words: Tokenizer, d_model: int, heads: int) -> None:
    shape = replace(SMALL, d_model=d_model, attention_heads=heads)
    assert copied(words, shape) > 10 * max(copied(words, replace(shape, copying_start=False)), 0.01)


def test_an_adopted_checkpoint_keeps_its_weights(words: Tokenizer, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = BartForConditionalGeneration(build_model(replace(SMALL, copying_start=False), words).config)
    model.save_pretrained(tmp_path)
    words.save(str(tmp_path / "tokenizer.json"))
    adopted, _ = adopt_model(tmp_path, 0.0, 100)
    for name, weight in load_weights(tmp_path).state_dict().items():
        assert torch.equal(adopted.state_dict()[name], weight), name


def test_substitution_changes_source_and_targets_alike() -> None:
    source, target = [0, 30, 31, 5, 30, 59, 2], [30, 31, 60, 2]
    sources, targets = Ragged.from_lists([source] * 40), Ragged.from_lists([target] * 40)
    ordinary = np.setdiff1d(np.arange(7, 100), [59]).astype(np.int32)
    identity = Ragged.from_lists([[n] for n in range(40)])
    substitute_tokens(sources, targets, identity, np.arange(20), ordinary, np.random.default_rng(0))
    changed = 0
    for row in range(40):
        new, answer = sources[row].tolist(), targets[row].tolist()
        assert [new[n] for n in (0, 3, 5, 6)] == [0, 5, 59, 2]
        assert new[4] == new[1]
        assert answer == [new[1], new[2], 60, 2]
        changed += new != source
    assert 5 < changed <= 20
    assert [sources[row].tolist() for row in range(20, 40)] == [source] * 20
