from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from cli.main import main
from generation.bundle import DECODER, ENCODER, Bundle, load_bundle
from model_export.checkpoint import load_checkpoint
from model_export.errors import ExportError
from model_export.export import export_bundle
from model_export.restore import restore_checkpoint
from training.checkpoint import GENERATION_SETTINGS
from training.config import GenerationDefaults, RuntimeConfig
from training.policy import load_policy


def exported(checkpoint_path: Path, folder: Path, precision: str) -> Bundle:
    return export_bundle(load_checkpoint(checkpoint_path), folder, precision)


def constants(bundle: Bundle, name: str) -> dict[str, np.ndarray]:
    graph = onnx.load(bundle.path / name, load_external_data=False).graph
    inside = (tensor for tensor in graph.initializer if tensor.data_location != onnx.TensorProto.EXTERNAL)
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in inside}


def test_an_fp32_bundle_gives_its_checkpoint_back(checkpoint_path: Path, tmp_path: Path) -> None:
    restore_checkpoint(exported(checkpoint_path, tmp_path / "bundle", "fp32"), tmp_path / "restored")

    before, after = load_checkpoint(checkpoint_path), load_checkpoint(tmp_path / "restored")

    assert after.architecture == before.architecture
    assert after.special_tokens == before.special_tokens
    assert (after.render_budgets, after.generation) == (before.render_budgets, before.generation)
    kept, restored = before.model.state_dict(), after.model.state_dict()
    assert kept.keys() == restored.keys()
    for name, weight in kept.items():
        used = slice(2, None) if "embed_positions" in name else slice(None)  # BART never reads the first two rows
        torch.testing.assert_close(restored[name][used], weight[used], rtol=1e-6, atol=1e-7, msg=name)


def test_an_int8_bundle_exported_again_has_the_same_integers(checkpoint_path: Path, tmp_path: Path) -> None:
    first = exported(checkpoint_path, tmp_path / "first", "int8")
    restore_checkpoint(first, tmp_path / "restored")
    second = exported(tmp_path / "restored", tmp_path / "second", "int8")

    assert (first.path / "embeddings.bin").read_bytes() == (second.path / "embeddings.bin").read_bytes()
    for graph in (ENCODER, DECODER):
        again = constants(second, graph)
        for name, value in constants(first, graph).items():
            if name.endswith(".weight"):
                np.testing.assert_allclose(again[name], value, rtol=1e-6, err_msg=name)


def test_the_record_of_a_restored_checkpoint_names_its_bundle(checkpoint_path: Path, tmp_path: Path) -> None:
    bundle = exported(checkpoint_path, tmp_path / "bundle", "int8")
    main(["restore", str(bundle.path), str(tmp_path / "restored")], standalone_mode=False)
    recorded = load_checkpoint(tmp_path / "restored").training
    assert recorded == {"stage": "restored", "bundle": bundle.model_version, "precision": "int8"}


def test_stages_two_and_three_continue_a_restored_checkpoint(checkpoint_path: Path, tmp_path: Path) -> None:
    bundle = exported(checkpoint_path, tmp_path / "bundle", "int8")
    restore_checkpoint(bundle, tmp_path / "restored")
    policy = load_policy(tmp_path / "restored", 0.0, RuntimeConfig(device="cpu"))
    assert policy.generation.num_beams == bundle.manifest["generation"]["num_beams"]
    assert {field.name for field in fields(GenerationDefaults)} == set(GENERATION_SETTINGS)


def test_a_folder_with_content_is_refused(checkpoint_path: Path, tmp_path: Path) -> None:
    bundle = exported(checkpoint_path, tmp_path / "bundle", "int8")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="is not empty"):
        restore_checkpoint(load_bundle(bundle.path), tmp_path / "there")
