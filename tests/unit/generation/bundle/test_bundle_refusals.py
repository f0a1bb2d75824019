"""A bundle that is not exactly what was exported is refused with one sentence that names the fault and the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generation.bundle import FILES, content_version, load_bundle
from generation.engine import Engine
from generation.errors import BundleError
from tests.unit.generation.bundle.refusals import backends, refusal


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_whole_bundle_loads(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    assert len(bundle.model_version) == 12
    assert bundle.special_tokens.reject == 6
    assert bundle.generation.num_beams == 8
    assert bundle.render_budgets.max_source_tokens == 96


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found(bundle_copy: Path, name: str) -> None:
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    assert f"{name} is not the file that was exported" in refusal(bundle_copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    assert f"{name} is missing; copy the bundle again" in refusal(bundle_copy)


def test_a_truncated_file_is_found_by_its_size(bundle_copy: Path) -> None:
    content = (bundle_copy / "encoder.onnx").read_bytes()
    (bundle_copy / "encoder.onnx").write_bytes(content[:-1])
    assert f"encoder.onnx has {len(content) - 1} bytes and its manifest says {len(content)}" in refusal(bundle_copy)


@pytest.mark.parametrize("version", [0, 1, 3, "2", None])
def test_another_schema_version_is_refused(bundle_copy: Path, version: object) -> None:
    edit(bundle_copy, lambda manifest: manifest.update(schema_version=version))
    sentence = refusal(bundle_copy)
    assert f"schema version {version!r} and this release reads 2" in sentence
    assert "onebar export" in sentence


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "there is no manifest.json" in refusal(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_manifest_that_is_not_json_is_refused(bundle_copy: Path, text: str) -> None:
    (bundle_copy / "manifest.json").write_text(text)
    assert "manifest.json" in refusal(bundle_copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["reject"].update(threshold=0.9),
        lambda m: m["special_tokens"].update(reject=7),
        lambda m: m["render"].update(text=10),
        lambda m: m["generation"].update(num_beams=8, length_penalty=2.0),
        lambda m: m.update(precision="fp32"),
    ],
    ids=["threshold", "special token", "budget", "options", "precision"],
)
def test_an_edit_that_would_change_answers_is_refused(
    bundle_copy: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(bundle_copy, change)
    assert "was edited" in refusal(bundle_copy)


@pytest.mark.parametrize(
    "section", ["special_tokens", "architecture", "render", "generation", "reject", "model_version"]
)
def test_a_missing_section_is_named(bundle_copy: Path, section: str) -> None:
    edit(bundle_copy, lambda manifest: manifest.pop(section))
    assert section in refusal(bundle_copy)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("special_tokens", {"bos": 0}),
        ("architecture", {}),
        ("render", {"text": 1}),
        ("generation", {"temperature": 1}),
        ("generation", {"num_beams": 0}),
        ("reject", {"threshold": "high"}),
        ("files", {}),
        ("files", {name: {} for name in FILES}),
    ],
)
def test_a_section_of_the_wrong_form_is_refused(bundle_copy: Path, section: str, value: object) -> None:
    edit(bundle_copy, lambda manifest: manifest.update({section: value}))
    assert "manifest.json" in refusal(bundle_copy)


def test_the_version_is_of_what_decides_answers(bundle_path: Path) -> None:
    manifest = dict(load_bundle(bundle_path).manifest)
    version = content_version(manifest)
    assert content_version({**manifest, "metrics": {"hr@8": 0.5}, "parity": {"inputs": 1}}) == version
    assert content_version({**manifest, "reject": {"threshold": 0.25}}) != version


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "embeddings.bin"])
def test_a_file_that_is_changed_after_it_was_checked_is_refused_by_the_engine(bundle_copy: Path, name: str) -> None:
    bundle = load_bundle(bundle_copy)
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    for backend in backends():
        with pytest.raises(BundleError, match=f"{name} is not the file that was exported"):
            Engine(bundle, backend=backend)


def test_text_of_a_hypothesis_has_no_special_tokens(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    ids = bundle.tokenizer.encode("red running shoes", add_special_tokens=False).ids
    assert bundle.decode([6, *ids]) == "red running shoes"
