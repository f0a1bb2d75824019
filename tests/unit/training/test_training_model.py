from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BartConfig, BartForConditionalGeneration

from evidence.render import RenderBudgets
from training.batches import collate
from training.checkpoint import CheckpointMeta, load_checkpoint, load_meta, load_weights, save_checkpoint
from training.config import ModelConfig, RuntimeConfig, from_dict
from training.data import Ragged
from training.errors import CheckpointError, ConfigError
from training.initial_model import load_initial_model
from training.losses import sft_loss
from training.model import adopt_model, build_model, choose_device, set_dropout, target_logits
from training.tokenizer import special_token_ids, train_tokenizer

TINY = ModelConfig(
    encoder_layers=1, decoder_layers=1, d_model=16, ffn_dim=32, attention_heads=2, max_positions=144, dropout=0.1
)


def meta(tokenizer: Tokenizer) -> CheckpointMeta:
    return CheckpointMeta(RenderBudgets(), {"num_beams": 8}, {"threshold": 0.5}, special_token_ids(tokenizer))


def test_a_new_model_follows_the_conventions_of_bart(tokenizer: Tokenizer) -> None:
    config = build_model(TINY, tokenizer).config
    assert (config.decoder_start_token_id, config.pad_token_id, config.eos_token_id) == (2, 1, 2)
    assert config.forced_eos_token_id is None
    assert config.vocab_size == tokenizer.get_vocab_size()
    assert config.tie_word_embeddings


def test_heads_must_divide_the_width(tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="attention_heads=3"):
        build_model(ModelConfig(d_model=16, attention_heads=3), tokenizer)


def test_logits_come_only_where_a_target_is_and_equal_those_of_transformers(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = build_model(TINY, tokenizer).eval()
    sources, targets = Ragged.from_lists([[0, 30, 31, 2], [0, 32, 2]]), Ragged.from_lists([[40, 41, 2], [6, 2]])
    batch = collate(sources, targets, torch.arange(2).numpy(), 1, 2, weights=np.array([1.0, 3.0], np.float32))
    logits, labels, weights = target_logits(model, batch)
    assert labels.tolist() == [40, 41, 2, 6, 2]
    assert weights.tolist() == [1, 1, 1, 3, 3]
    whole = model(input_ids=batch.source, attention_mask=batch.source_mask, labels=batch.labels)
    torch.testing.assert_close(logits, whole.logits[batch.labels != -100])
    torch.testing.assert_close(sft_loss(logits, labels), whole.loss)


def test_a_padded_source_gives_the_logits_it_has_alone(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = build_model(TINY, tokenizer).eval()
    sources, targets = Ragged.from_lists([[0, 30, 31, 33, 34, 2], [0, 32, 2]]), Ragged.from_lists([[6, 2], [40, 2]])
    together, _, _ = target_logits(model, collate(sources, targets, torch.arange(2).numpy(), 1, 2))
    alone, _, _ = target_logits(model, collate(sources, targets, torch.tensor([1]).numpy(), 1, 2))
    torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=1e-5)


def test_shared_sources_give_the_logits_of_separate_ones(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = build_model(TINY, tokenizer).eval()
    sources, targets = Ragged.from_lists([[0, 30, 31, 2], [0, 32, 2]]), Ragged.from_lists([[40, 2], [41, 2], [42, 2]])
    groups = Ragged.from_lists([[0, 2], [1]])
    shared, _, _ = target_logits(model, collate(sources, targets, np.array([0, 1]), 1, 2, targets_of=groups))
    apart = Ragged.from_lists([[0, 30, 31, 2], [0, 30, 31, 2], [0, 32, 2]])
    separate, _, _ = target_logits(model, collate(apart, targets.take([0, 2, 1]), np.arange(3), 1, 2))
    torch.testing.assert_close(shared, separate)


def test_a_checkpoint_comes_back_whole(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = build_model(TINY, tokenizer)
    save_checkpoint(tmp_path / "c", model, tokenizer, meta(tokenizer))
    names = {path.name for path in (tmp_path / "c").iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "onebar.json"}
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.meta == meta(tokenizer)
    assert loaded.tokenizer.to_str() == tokenizer.to_str()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], value)


def test_incomplete_checkpoints_are_refused_with_a_sentence(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    with pytest.raises(CheckpointError, match="onebar train sft"):
        load_meta(folder)
    save_checkpoint(folder, build_model(TINY, tokenizer), tokenizer, meta(tokenizer))
    (folder / "onebar.json").write_text('{"render": {}}')
    with pytest.raises(CheckpointError, match="has no 'generation'"):
        load_meta(folder)
    (folder / "onebar.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_meta(folder)
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_weights(tmp_path)


def foreign_checkpoint(folder: Path, positions: int = 128) -> Path:
    """A BART of another project: its own ids, no [SEP], no [REJECT], a forced first token."""
    tokenizer = train_tokenizer(["camping chair"] * 3, 300)
    text = tokenizer.to_str()
    for token, other in (("[SEP]", "[unused1]"), ("[REJECT]", "[unused2]")):
        text = text.replace(token, other)
    torch.manual_seed(1)
    bart = BartConfig(
        vocab_size=tokenizer.get_vocab_size(), d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32,
        decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2, max_position_embeddings=positions,
        forced_eos_token_id=2,
    )  # fmt: skip
    BartForConditionalGeneration(bart).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(text)
    return folder


def test_any_local_bart_learns_the_two_new_tokens(tmp_path: Path) -> None:
    model, tokenizer = adopt_model(foreign_checkpoint(tmp_path / "bart"), 0.2)
    special = special_token_ids(tokenizer)
    size = tokenizer.get_vocab_size()
    assert {special["sep"], special["reject"]} == {size - 2, size - 1}
    assert model.config.vocab_size == model.get_input_embeddings().num_embeddings == size
    assert model.final_logits_bias.shape == (1, size)
    assert model.config.forced_eos_token_id is None
    assert model.generation_config.forced_eos_token_id is None
    assert model.model.encoder.layers[0].dropout == 0.2


def test_a_bart_with_too_few_positions_is_given_more(tmp_path: Path) -> None:
    start = load_initial_model(foreign_checkpoint(tmp_path / "bart", positions=64), None, TINY, RenderBudgets(), 0)
    longest = torch.full((1, RenderBudgets().max_source_tokens), 30)
    assert start.model.config.max_position_embeddings == longest.shape[1]
    assert torch.isfinite(start.model(input_ids=longest).logits).all()
    save_checkpoint(tmp_path / "c", start.model, start.tokenizer, meta(start.tokenizer))
    assert load_checkpoint(tmp_path / "c").model.config.max_position_embeddings == longest.shape[1]


def test_a_bart_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = foreign_checkpoint(tmp_path / "bart")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="fast tokenizer"):
        adopt_model(folder, 0.1)


def test_dropout_can_be_turned_off_for_every_layer(tokenizer: Tokenizer) -> None:
    model = build_model(TINY, tokenizer).train()
    set_dropout(model, 0.0)
    source = torch.tensor([[0, 30, 31, 2]])
    one, two = (model(input_ids=source, decoder_input_ids=source).logits for _ in range(2))
    torch.testing.assert_close(one, two)


def test_a_stage_starts_from_one_thing(tokenizer_file: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="either --init-from"):
        load_initial_model(None, None, TINY, RenderBudgets(), 0)
    save_checkpoint(tmp_path / "c", build_model(TINY, tokenizer), tokenizer, meta(tokenizer))
    with pytest.raises(ConfigError, match="either --init-from"):
        load_initial_model(tmp_path / "c", tokenizer_file, TINY, RenderBudgets(), 0)
    with pytest.raises(ConfigError, match="max_source_tokens=200"):
        load_initial_model(None, tokenizer_file, TINY, RenderBudgets(max_source_tokens=200), 0)


def test_a_stage_may_have_other_budgets_than_its_start(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", build_model(TINY, tokenizer), tokenizer, meta(tokenizer))
    assert load_initial_model(tmp_path / "c", None, TINY, RenderBudgets(text=19), 0).origin.endswith(" c")
    grown = load_initial_model(tmp_path / "c", None, TINY, RenderBudgets(max_source_tokens=160), 0).model
    assert grown.config.max_position_embeddings == 160


def test_two_starts_from_nothing_are_equal(tokenizer_file: Path) -> None:
    one, two = (load_initial_model(None, tokenizer_file, TINY, RenderBudgets(), 5).model for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_checkpoint_format_is_imported_without_torch() -> None:
    code = "import sys, training.checkpoint; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


@pytest.mark.parametrize(("precision", "result"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision_of_the_stage(precision: str, result: torch.dtype) -> None:
    # Stages of both precisions may follow each other in one process.
    device = choose_device(from_dict(RuntimeConfig, {"device": "cpu", "precision": precision}))
    assert device.device == torch.device("cpu")
    with device.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == result


def test_a_device_is_auto_cpu_or_cuda() -> None:
    with pytest.raises(ConfigError, match="device must be one of 'auto', 'cpu', 'cuda', got 'cuda:1'"):
        from_dict(RuntimeConfig, {"device": "cuda:1"})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(ConfigError, match="torch finds no GPU"):
        choose_device(RuntimeConfig(device="cuda"))
