"""The checkpoint of each size, and what each contender makes of it.

build/peers/w256/
├── checkpoint/     a BART of random weights from a fixed seed
├── optimum/        exported with optimum's defaults
├── ctranslate2/    converted by CTranslate2's own converter
└── made.json       what these were made with; they are made again when it changes

The engine's bundles are exported anew in every run: they are what is being worked on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.random_model import Size, build_sized_checkpoint
from generation.bundle import SpecialTokens
from model_export.checkpoint import load_checkpoint

_CONVERTERS = ("ctranslate2", "optimum-onnx", "onnxruntime", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class Models:
    """Where the models of one size are."""

    title: str
    checkpoint: Path
    optimum: Path
    ctranslate2: Path


def prepare_random(size: Size, folder: Path, seed: int = 0) -> Models:
    """Make the models of a size, or take those that were made before."""
    made_with = {"size": asdict(size), "seed": seed, "versions": {name: version(name) for name in _CONVERTERS}}
    target = folder / size.name
    checkpoint = target / "checkpoint"
    if not _is_made(target, made_with):
        shutil.rmtree(target, ignore_errors=True)
        build_sized_checkpoint(checkpoint, size, seed)
        _convert(checkpoint, target, made_with)
    return Models(f"{size.title}, random weights", checkpoint, target / "optimum", target / "ctranslate2")


def prepare_trained(checkpoint: Path, folder: Path) -> Models:
    """Make what the peers need of a checkpoint that training left, or take what is there."""
    with (checkpoint / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    made_with = {"checkpoint": digest, "versions": {name: version(name) for name in _CONVERTERS}}
    target = folder / f"trained-{digest[:12]}"
    if not _is_made(target, made_with):
        shutil.rmtree(target, ignore_errors=True)
        _convert(checkpoint, target, made_with)
    sizes = load_checkpoint(checkpoint).architecture
    title = (
        f"{sizes.encoder_layers}+{sizes.decoder_layers} layers, width {sizes.d_model}, "
        f"vocabulary {sizes.vocab_size}, trained"
    )
    return Models(title, checkpoint, target / "optimum", target / "ctranslate2")


def random_sources(count: int, tokens: int, vocab_size: int, specials: SpecialTokens, seed: int = 0) -> list[list[int]]:
    """Return sources of `tokens` random ordinary tokens, the start and the end among them."""
    generator = np.random.default_rng(seed)
    first = max(specials.reject, specials.sep) + 1
    inner = generator.integers(first, vocab_size, (count, tokens - 2)).tolist()
    return [[specials.bos, *ids, specials.eos] for ids in inner]


def _is_made(target: Path, made_with: dict[str, Any]) -> bool:
    note = target / "made.json"
    return note.is_file() and json.loads(note.read_text(encoding="utf-8")) == made_with


def _convert(checkpoint: Path, target: Path, made_with: dict[str, Any]) -> None:
    from optimum.onnxruntime import ORTModelForSeq2SeqLM  # seconds to import, and not needed where all is made

    target.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer that optimum exports with has much to say
        ORTModelForSeq2SeqLM.from_pretrained(checkpoint, export=True).save_pretrained(target / "optimum")
    convert_for_ctranslate2(checkpoint, target / "ctranslate2")
    # Last, so that what was interrupted is made again.
    (target / "made.json").write_text(json.dumps(made_with, indent=2) + "\n", encoding="utf-8")


class _NumberedTokens:
    """A vocabulary whose tokens are their ids, as text: CTranslate2 takes and gives tokens, and ids are compared."""

    def __init__(self, specials: SpecialTokens, vocab_size: int) -> None:
        self.bos_token, self.eos_token, self.unk_token = (str(i) for i in (specials.bos, specials.eos, specials.unk))
        self._size = vocab_size

    def get_vocab(self) -> dict[str, int]:
        return {str(token_id): token_id for token_id in range(self._size)}

    def convert_ids_to_tokens(self, token_id: int) -> str:
        return str(token_id)


def convert_for_ctranslate2(checkpoint: Path, target: Path) -> None:
    """Convert with CTranslate2's converter. Weights stay fp32 on disk: it quantises to the type that is asked for."""
    from ctranslate2.converters import TransformersConverter

    source = load_checkpoint(checkpoint)

    class Converter(TransformersConverter):  # type: ignore[misc]
        def load_model(self, *arguments: Any, **options: Any) -> Any:
            model = super().load_model(*arguments, **options)
            # Its loader reads a field that transformers no longer has; BART normalises after each layer.
            model.config.normalize_before = False
            return model

        def load_tokenizer(self, *_: Any, **__: Any) -> _NumberedTokens:
            return _NumberedTokens(source.special_tokens, source.architecture.vocab_size)

    Converter(str(checkpoint)).convert(str(target), force=True)
