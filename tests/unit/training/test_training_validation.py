from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from training.augmentation import Alphabet
from training.config import GenerationDefaults, ModelConfig, RuntimeConfig, ValidationConfig
from training.data import PackedExamples, Ragged
from training.errors import DivergenceError
from training.model import build_model, choose_device
from training.validation import generate, hypothesis_rank, reject_quality, sample_validation, validate, weak_batch


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def test_rank_counts_distinct_queries_and_skips_rejection(tokenizer: Tokenizer) -> None:
    chair, bank = ids(tokenizer, "camping chair"), ids(tokenizer, "power bank")
    reject, eos, pad = 6, 2, 1
    hypotheses = [[reject, eos, pad], [*bank, eos], [*bank, eos, pad], [*chair, eos]]
    assert hypothesis_rank(tokenizer, chair, hypotheses, reject) == 2
    assert hypothesis_rank(tokenizer, bank, hypotheses, reject) == 1
    assert hypothesis_rank(tokenizer, ids(tokenizer, "kettle"), hypotheses, reject) == 0


def test_the_same_text_from_other_tokens_is_the_same_query(tokenizer: Tokenizer) -> None:
    spelled = [tokenizer.token_to_id(token) for token in "Ġpower"]
    assert hypothesis_rank(tokenizer, ids(tokenizer, "power"), [spelled], 6) == 1


def test_reject_quality_by_hand() -> None:
    probabilities = np.array([0.9, 0.6, 0.4, 0.7, 0.1])
    is_reject = np.array([True, True, True, False, False])
    assert reject_quality(probabilities, is_reject, 0.5) == {
        "reject_precision": pytest.approx(2 / 3),
        "reject_recall": pytest.approx(2 / 3),
        "click_abstained": 0.5,
    }


def test_the_threshold_itself_abstains_as_in_serving() -> None:
    quality = reject_quality(np.array([0.5, 0.4999]), np.array([True, False]), 0.5)
    assert (quality["reject_recall"], quality["click_abstained"]) == (1.0, 0.0)


def test_without_any_abstention_precision_is_zero() -> None:
    quality = reject_quality(np.array([0.1]), np.array([False]), 0.5)
    assert quality == {"reject_precision": 0.0, "reject_recall": 0.0, "click_abstained": 0.0}


def test_the_validation_sample_is_fixed_and_holds_both_kinds() -> None:
    rows = Ragged.from_lists([[0, n, 2] for n in range(100)])
    examples = PackedExamples(rows, rows, np.arange(100) % 4 == 0, np.arange(100))
    config = ValidationConfig(click_examples=10, reject_examples=50)
    one, two = (sample_validation(examples, config, 3) for _ in range(2))
    assert one.sources.values.tolist() == two.sources.values.tolist()
    assert (one.is_reject.sum(), (~one.is_reject).sum()) == (25, 10)


def source(tokenizer: Tokenizer, text: str, history: str) -> list[int]:
    return [0, *ids(tokenizer, text), 5, 5, 5, *ids(tokenizer, history), 5, 2]


def test_each_source_is_encoded_and_its_pointer_read_once(tokenizer: Tokenizer) -> None:
    texts = ["camping chair", "power bank", "kettle", "codeine"]
    sources = [source(tokenizer, f"best {text}", f"{text} price") for text in texts]
    targets = [*([*ids(tokenizer, f"{text} price"), 2] for text in texts[:3]), [6, 2]]
    is_reject = np.array([False, False, False, True])
    examples = PackedExamples(Ragged.from_lists(sources), Ragged.from_lists(targets), is_reject, np.arange(4))
    shape = ModelConfig(encoder_layers=1, decoder_layers=1, d_model=32, ffn_dim=64, attention_heads=2)
    model = build_model(shape, tokenizer).eval()
    device = choose_device(RuntimeConfig(device="cpu", precision="fp32"))
    encoded: list[int] = []
    model.model.encoder.register_forward_hook(lambda _, __, output: encoded.append(len(output.last_hidden_state)))
    pointed: list[int] = []
    assert model.pointer is not None
    model.pointer.register_forward_hook(lambda _, __, output: pointed.append(len(output[0])))
    figures = validate(model, tokenizer, examples, GenerationDefaults(), 0.5, device)
    assert (encoded, pointed) == ([4], [4])
    assert figures["hr@8"] == 1.0  # the pointer adds the only entry of each source to the search


def test_without_a_click_there_is_no_source_to_weaken(tokenizer: Tokenizer) -> None:
    rows = Ragged.from_lists([[0, 7, 5, 5, 5, 5, 2]])
    rejects = PackedExamples(rows, Ragged.from_lists([[6, 2]]), np.array([True]), np.arange(1))
    assert weak_batch(rejects, Alphabet.of(tokenizer), 0) is None


def test_a_model_whose_states_are_no_numbers_is_not_measured(tokenizer: Tokenizer) -> None:
    model = build_model(ModelConfig(encoder_layers=1, decoder_layers=1, d_model=32, ffn_dim=64), tokenizer)
    with torch.no_grad():
        model.model.encoder.layernorm_embedding.weight.fill_(float("nan"))
    source = torch.tensor([[0, *ids(tokenizer, "power bank"), 2]])
    with pytest.raises(DivergenceError, match="not finite"):
        generate(model.eval(), source, None, GenerationDefaults(num_beams=2))
