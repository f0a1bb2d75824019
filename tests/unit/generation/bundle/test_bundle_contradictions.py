"""A bundle whose hashes are right and whose parts contradict each other is refused before a backend sees it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.bundle_fuzz.restate import read_manifest, restate
from generation.backend import Backend
from generation.bundle import load_bundle
from generation.engine import Engine
from generation.errors import BundleError
from generation.request import GenerationRequest
from tests.unit.generation.bundle.refusals import backends, refusal


def state(folder: Path, section: str, **values: object) -> None:
    manifest = read_manifest(folder)
    manifest[section].update(values)
    restate(folder, manifest)


def change_graph(folder: Path, name: str, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(str(folder / name), load_external_data=False)
    change(model)
    (folder / name).write_bytes(model.SerializeToString())
    restate(folder, read_manifest(folder))


def tensor(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def floats(model: onnx.ModelProto, name: str, value: float) -> None:
    found = tensor(model, name)
    values = np.frombuffer(found.raw_data, np.float32).copy()
    values.reshape(-1)[0] = value
    found.raw_data = values.tobytes()


@pytest.mark.parametrize("backend", backends())
def test_a_restated_bundle_still_runs(bundle_copy: Path, backend: Backend) -> None:
    state(bundle_copy, "special_tokens", decoder_start=3)
    bundle = load_bundle(bundle_copy)
    assert Engine(bundle, backend=backend).generate(GenerationRequest([0, 50, 2], bundle.generation)).hypotheses


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("d_model", 16), ("d_model", 0), ("d_model", 33), ("d_model", 2**31), ("d_model", 10**30), ("d_model", "32"),
        ("d_model", True), ("d_model", 32.0), ("d_model", None), ("attention_heads", 0), ("attention_heads", 3),
        ("attention_heads", 8), ("vocab_size", 1), ("vocab_size", 319), ("vocab_size", 321), ("vocab_size", 10**6),
        ("max_positions", 4096), ("max_positions", 127), ("max_positions", 0), ("encoder_layers", 0),
        ("encoder_layers", 1), ("encoder_layers", 3), ("encoder_layers", 10**9), ("decoder_layers", 1),
        ("decoder_layers", 3), ("decoder_layers", -1),
    ],
)  # fmt: skip
def test_sizes_that_the_graphs_do_not_have_are_refused(bundle_copy: Path, name: str, value: object) -> None:
    state(bundle_copy, "architecture", **{name: value})
    assert "export it again" in refusal(bundle_copy)


@pytest.mark.parametrize("name", ["bos", "pad", "eos", "unk", "mask", "sep", "reject", "decoder_start"])
@pytest.mark.parametrize("value", [-1, 320, 10**9, 2**63, 1.0, False, None])
def test_ids_that_the_vocabulary_does_not_have_are_refused(bundle_copy: Path, name: str, value: object) -> None:
    state(bundle_copy, "special_tokens", **{name: value})
    assert f"special_tokens.{name}" in refusal(bundle_copy)


@pytest.mark.parametrize("name", ["bos", "eos", "sep", "reject"])
def test_ids_that_are_not_those_of_the_tokenizer_are_refused(bundle_copy: Path, name: str) -> None:
    state(bundle_copy, "special_tokens", **{name: 100})
    assert "tokenizer.json cannot be used: it does not give" in refusal(bundle_copy)


@pytest.mark.parametrize(
    ("section", "name", "value", "fault"),
    [
        ("generation", "max_new_tokens", 129, "max_new_tokens is more than max_positions 128"),
        ("generation", "num_beams", 65, "num_beams must be 1 to 64"),
        ("generation", "length_penalty", 1e308, "length_penalty is too far from 0"),
        ("generation", "length_penalty", True, "length_penalty must be a finite number"),
        ("generation", "no_repeat_ngram_size", 10**30, "no_repeat_ngram_size is more than"),
        ("render", "max_source_tokens", 129, "max_source_tokens 129 is more than max_positions 128"),
        ("render", "text", 2.5, "render.text must be a whole number"),
        ("render", "text", "20", "render.text must be a whole number"),
        ("render", "text", -1, "render.text must be a whole number"),
        ("reject", "threshold", "0.5", "reject.threshold must be a number from 0 to 1"),
        ("reject", "threshold", True, "reject.threshold must be a number from 0 to 1"),
        ("reject", "threshold", -0.1, "reject.threshold must be a number from 0 to 1"),
        ("reject", "threshold", math.nan, "manifest.json cannot be read (NaN is not a JSON number)"),
    ],
)
def test_other_numbers_out_of_range_are_refused(
    bundle_copy: Path, section: str, name: str, value: object, fault: str
) -> None:
    state(bundle_copy, section, **{name: value})
    assert fault in refusal(bundle_copy)


@pytest.mark.parametrize("location", ["../../../../etc/passwd", "/etc/passwd", "", "manifest.json", "decoder.onnx"])
def test_external_data_is_nothing_but_the_embedding(bundle_copy: Path, location: str) -> None:
    def move(model: onnx.ModelProto) -> None:
        tensor(model, "shared.weight").external_data[0].value = location

    change_graph(bundle_copy, "encoder.onnx", move)
    assert "shared.weight must be the whole of embeddings.bin" in refusal(bundle_copy)


@pytest.mark.parametrize(("key", "value"), [("offset", "1"), ("offset", "-1"), ("length", "8"), ("length", "1" * 30)])
def test_external_data_is_the_whole_file(bundle_copy: Path, key: str, value: str) -> None:
    def move(model: onnx.ModelProto) -> None:
        entry = next(e for e in tensor(model, "shared.weight").external_data if e.key == key)
        entry.value = value

    change_graph(bundle_copy, "decoder.onnx", move)
    assert "shared.weight must be the whole of embeddings.bin" in refusal(bundle_copy)


CHANGES: dict[str, tuple[str, Callable[[onnx.ModelProto], Any], str]] = {
    "shape": ("encoder.onnx", lambda m: tensor(m, "positions").dims.__setitem__(0, 64), "has the shape [64, 32]"),
    "type": ("encoder.onnx", lambda m: setattr(tensor(m, "positions"), "data_type", 7), "has the data type 7"),
    "bytes": (
        "decoder.onnx",
        lambda m: setattr(tensor(m, "model.decoder.layers.1.fc2.weight"), "raw_data", b"x"),
        "does not have as many bytes",
    ),
    "name": (
        "decoder.onnx", lambda m: setattr(tensor(m, "shared.scale"), "name", "a"), "lacks the constant shared.scale",
    ),
    "scale": ("decoder.onnx", lambda m: floats(m, "lm_head.input_scale", 0.0), "must be positive"),
    "weight scale": ("decoder.onnx", lambda m: floats(m, "shared.scale", math.inf), "not a finite number"),
    "weight": ("encoder.onnx", lambda m: floats(m, "positions", math.nan), "not a finite number"),
    "zero point": (
        "encoder.onnx",
        lambda m: setattr(tensor(m, "model.encoder.layers.0.self_attn.qkv.zero_point"), "raw_data", b"\1" * 96),
        "does not have the values",
    ),
    "divisor": (
        "decoder.onnx", lambda m: setattr(tensor(m, "vocab_rows"), "raw_data", bytes(8)), "does not have the values",
    ),
    "input": ("encoder.onnx", lambda m: setattr(m.graph.input[0], "name", "ids"), "its input 0 is not the input_ids"),
    "output": ("decoder.onnx", lambda m: m.graph.output.pop(), "it has 8 outputs and a model"),
    "output type": (
        "decoder.onnx", lambda m: setattr(m.graph.output[0].type.tensor_type, "elem_type", 7), "its output 0 is not",
    ),
    "operator": ("decoder.onnx", lambda m: setattr(m.graph.node[10], "op_type", "Loop"), "its node 10 is not"),
    "heads": (
        "encoder.onnx",
        lambda m: setattr(next(n for n in m.graph.node if n.op_type == "QAttention").attribute[0], "i", 0),
        "is not the QAttention",
    ),
    "wiring": (
        "decoder.onnx", lambda m: m.graph.node[3].input.__setitem__(0, "positions"), "its node 3 is not the Cast",
    ),
    "versions": ("encoder.onnx", lambda m: setattr(m, "ir_version", 10), "versions of the ONNX format"),
}  # fmt: skip


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_graph_that_is_not_that_of_the_architecture_is_refused(bundle_copy: Path, change: str) -> None:
    name, made, fault = CHANGES[change]
    change_graph(bundle_copy, name, made)
    sentence = refusal(bundle_copy)
    assert f"{name} cannot be used: it" in sentence
    assert fault in sentence


def test_a_link_out_of_the_bundle_is_refused(bundle_copy: Path, tmp_path: Path) -> None:
    os.replace(bundle_copy / "embeddings.bin", tmp_path / "elsewhere.bin")
    (bundle_copy / "embeddings.bin").symlink_to(tmp_path / "elsewhere.bin")
    assert "embeddings.bin is a link that leads out of the bundle" in refusal(bundle_copy)


def test_a_link_within_the_bundle_is_followed(bundle_copy: Path) -> None:
    (bundle_copy / "version-1").mkdir()
    os.replace(bundle_copy / "embeddings.bin", bundle_copy / "version-1" / "embeddings.bin")
    (bundle_copy / "embeddings.bin").symlink_to("version-1/embeddings.bin")
    assert load_bundle(bundle_copy).model_version


def test_a_file_that_is_too_large_is_not_read(bundle_copy: Path) -> None:
    manifest = read_manifest(bundle_copy)
    with (bundle_copy / "embeddings.bin").open("r+b") as handle:
        handle.truncate(1 << 40)  # a hole, which takes no room
    manifest["files"]["embeddings.bin"]["bytes"] = 1 << 40
    restate(bundle_copy, manifest, files=False)
    assert "gives no size and hash that embeddings.bin can have" in refusal(bundle_copy)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"type": "BPE"', '"type": "Nothing"'),
        ('"<s>": 0', '"<s>": 900'),
        ('"version": "1.0"', '"version": 1'),
        ('"<s>": 0', '"<t>": 0'),
    ],
)
def test_a_tokenizer_that_cannot_serve_the_model_is_refused(bundle_copy: Path, old: str, new: str) -> None:
    path = bundle_copy / "tokenizer.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    restate(bundle_copy, read_manifest(bundle_copy))
    assert "tokenizer.json cannot be used: it" in refusal(bundle_copy)


@pytest.mark.parametrize("backend", backends())
def test_weights_that_give_no_answer_are_refused_when_the_graphs_are_loaded(
    bundle_copy: Path, backend: Backend
) -> None:
    def explode(model: onnx.ModelProto) -> None:
        found = tensor(model, "model.encoder.layers.1.final_layer_norm.weight")
        found.raw_data = np.full(32, 3e38, np.float32).tobytes()

    change_graph(bundle_copy, "encoder.onnx", explode)
    bundle = load_bundle(bundle_copy)
    with pytest.raises(BundleError, match=r"cannot be run: .* not a number; export it again"):
        Engine(bundle, backend=backend)
