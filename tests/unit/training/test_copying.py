"""A new model copies its source before any training; an adopted one is left as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BartForConditionalGeneration

from training.augmentation import Alphabet, remove_answers, substitute_words
from training.checkpoint import load_weights
from training.config import ModelConfig, RuntimeConfig
from training.copying_probe import copy_accuracy, make_probe
from training.data import Ragged
from training.model import adopt_model, build_model, choose_device
from training.tokenizer import train_tokenizer

CPU = choose_device(RuntimeConfig(device="cpu", precision="fp32"))
SMALL = ModelConfig(
    encoder_layers=2, decoder_layers=2, d_model=256, ffn_dim=256, attention_heads=4, max_positions=128, dropout=0.0
)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return train_tokenizer([f"{a}{b} {b}{a}" for a in "abcdefghij" for b in "klmnopqrstuvw"] * 2, 600)


def copied(words: Tokenizer, config: ModelConfig) -> float:
    torch.manual_seed(3)
    model = build_model(config, words).eval()
    return copy_accuracy(model, make_probe(Alphabet.of(words), seed=1), CPU)


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
    model = BartForConditionalGeneration(
        build_model(replace(SMALL, copying_start=False, pointer_hidden=0), words).config
    )
    model.save_pretrained(tmp_path)
    words.save(str(tmp_path / "tokenizer.json"))
    adopted, _ = adopt_model(tmp_path, 0.0)
    for name, weight in load_weights(tmp_path).state_dict().items():
        assert torch.equal(adopted.state_dict()[name], weight), name


def rows_of(words: Tokenizer, text: str) -> list[int]:
    return list(words.encode(text, add_special_tokens=False).ids)


def test_substitution_replaces_words_alike_in_source_and_targets(words: Tokenizer) -> None:
    alphabet = Alphabet.of(words)
    sep = alphabet.special["sep"]
    ak, bl, zz = (rows_of(words, text) for text in ("ak", "bl", "zz"))
    source = [0, *ak, *bl, sep, *ak, alphabet.between, *bl, *ak, 2]
    target = [*bl, *zz, *ak, 2]
    sources, targets = Ragged.from_lists([source] * 40), Ragged.from_lists([target] * 40)
    own = Ragged.from_lists([[n] for n in range(40)])
    chosen = np.arange(20)
    sources, targets = substitute_words(sources, targets, own, chosen, alphabet, (60, 16), np.random.default_rng(0))
    changed = 0
    for row in range(20):
        new, answer = alphabet.words(sources[row].tolist()), alphabet.words(targets[row].tolist())
        first, second = new[1], new[2]
        assert new == [(0,), first, second, (sep,), first, (alphabet.between,), second, first, (2,)]
        assert answer == [second, tuple(zz), first, (2,)]
        changed += sources[row].tolist() != source
    assert changed > 8
    assert [sources[row].tolist() for row in range(20, 40)] == [source] * 20
    assert [targets[row].tolist() for row in range(20, 40)] == [target] * 20


def test_a_row_that_would_be_too_long_stays(words: Tokenizer) -> None:
    alphabet = Alphabet.of(words)
    source = [0, *rows_of(words, "ak bl ck dl"), 2]
    sources, targets = Ragged.from_lists([source] * 30), Ragged.from_lists([[9, 2]] * 30)
    own, limits = Ragged.from_lists([[n] for n in range(30)]), (len(source), 16)
    sources, _ = substitute_words(sources, targets, own, np.arange(30), alphabet, limits, np.random.default_rng(0))
    assert max(sources.lengths) <= len(source)


def test_answers_are_removed_with_the_entries_that_contain_them() -> None:
    special, semicolon = {"bos": 0, "eos": 2, "sep": 5}, 9
    #           T      M   anchors                      histories           P
    source = [0, 30, 5, 5, 30, semicolon, 31, 30, 5, 40, semicolon, 31, 5, 30, 2]
    sources, targets = Ragged.from_lists([source, source, source]), Ragged.from_lists([[30, 2], [40, 2], [77, 2]])
    own = Ragged.from_lists([[0], [1], [2]])
    cleaned = remove_answers(sources, targets, own, np.array([0, 1, 2]), special, semicolon)
    assert cleaned[0].tolist() == [0, 30, 5, 5, 5, 40, semicolon, 31, 5, 30, 2]
    assert cleaned[1].tolist() == [0, 30, 5, 5, 30, semicolon, 31, 30, 5, 31, 5, 30, 2]
    assert cleaned[2].tolist() == source
    assert remove_answers(sources, targets, own, np.array([2]), special, semicolon) is sources
