"""BART models of random weights: what is measured where the size matters and the answers do not.

The tests use the smallest of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BartConfig

from evidence.tokens import QUERY_SEPARATOR, SEP_TOKEN, SPECIAL_TOKENS, UNK_TOKEN
from training.generator import Generator

_WORDS = (
    "red running shoes price men women cheap second hand camera lens wireless earphones review 防晒霜 油皮 推荐 "
    "motorbike CFMOTO 675NK garden tools set winter coat long dress summer phone case fishing rod tent ; "
)


@dataclass(frozen=True, slots=True)
class Size:
    """Sizes of one model; the feed-forward layers are four times as wide as the model."""

    name: str
    encoder_layers: int
    decoder_layers: int
    d_model: int
    attention_heads: int
    vocab_size: int

    @property
    def title(self) -> str:
        """The size in words, for a table."""
        return f"{self.encoder_layers}+{self.decoder_layers} layers, width {self.d_model}, vocabulary {self.vocab_size}"


SIZES = {
    size.name: size
    for size in (
        Size("w256", 4, 2, 256, 8, 8192),  # the shipped demo's
        Size("w512", 6, 2, 512, 8, 21128),
        Size("w768", 6, 6, 768, 12, 21128),
        Size("tiny", 2, 2, 32, 4, 400),  # to try a benchmark
    )
}


def build_tokenizer() -> Tokenizer:
    """Train a byte-level BPE of 320 entries; special tokens have the ids that the contract fixes."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNK_TOKEN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(SPECIAL_TOKENS.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_WORDS] * 3, trainer)
    return tokenizer


def build_random_checkpoint(path: Path, seed: int = 0, end_bias: float = 7.0, **config: Any) -> Path:
    """Write a checkpoint folder of a random BART and return its path.

    Args:
        path: the folder.
        seed: of the weights.
        end_bias: added to the logit of </s>. Random weights seldom end a sequence; a positive bias makes lengths
            uneven, as those of real queries are.
        config: fields of BartConfig that differ from 2 + 2 layers of width 32; `pointer_hidden` for a pointer.
    """
    tokenizer = build_tokenizer()
    sizes: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 128,
        "init_std": 0.3,
        "forced_eos_token_id": None,
        "forced_bos_token_id": None,
        "pointer_separator": tokenizer.token_to_id(SEP_TOKEN),
        "pointer_between": tokenizer.token_to_id(QUERY_SEPARATOR),
        **config,
    }
    torch.manual_seed(seed)
    bart_config: Any = BartConfig  # transformers does not annotate it
    model: Any = Generator(
        bart_config(bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2, **sizes)
    )
    model.eval()
    model.final_logits_bias[0, 2] = end_bias
    if model.pointer is not None:
        for weight in (model.pointer.outer.weight, model.pointer.place, model.pointer.generate.weight):
            torch.nn.init.normal_(weight, std=0.1)
        torch.nn.init.constant_(model.pointer.generate.bias, -0.3)  # it points more often than it generates
    path.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(path)
    tokenizer.save(str(path / "tokenizer.json"))
    notes = {
        "render": {
            "text": 24, "summary": 28, "anchors": 16, "histories": 12, "personal": 10, "max_source_tokens": 96,
        },
        "generation": {"num_beams": 8, "num_return_sequences": 8, "max_new_tokens": 10},
        "reject": {"threshold": 0.5},
        "training": {"stage": "random"},
        "metrics": {},
    }  # fmt: skip
    (path / "onebar.json").write_text(json.dumps(notes), encoding="utf-8")
    return path


def build_random_bundle(path: Path, seed: int = 0, precision: str = "int8", command: str = __name__) -> Path:
    """Write a bundle of the smallest random BART and return its folder; the same seed gives the same bundle.

    Args:
        path: the folder; the checkpoint is written beside it.
        seed: of the weights.
        precision: "int8" or "fp32".
        command: how the bundle was made, for its manifest.
    """
    from model_export.checkpoint import load_checkpoint
    from model_export.export import export_bundle

    checkpoint = load_checkpoint(build_random_checkpoint(path.with_name(f"{path.name}-checkpoint"), seed))
    return export_bundle(checkpoint, path, precision, command).path


def build_sized_checkpoint(path: Path, size: Size, seed: int = 0) -> Path:
    """Write a checkpoint folder of a random BART of one size and return its path.

    Ends are not favoured, and logits have the same spread at every width.
    """
    return build_random_checkpoint(
        path,
        seed=seed,
        end_bias=0.0,
        init_std=1.6 / size.d_model**0.5,
        vocab_size=size.vocab_size,
        d_model=size.d_model,
        encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers,
        encoder_attention_heads=size.attention_heads,
        decoder_attention_heads=size.attention_heads,
        encoder_ffn_dim=4 * size.d_model,
        decoder_ffn_dim=4 * size.d_model,
    )
