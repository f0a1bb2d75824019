from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from cli.main import main
from evidence.errors import EmbedderError
from generation.bundle import EMBEDDER_FILES, FILES, load_bundle
from generation.errors import BundleError
from model_export.checkpoint import Checkpoint, load_checkpoint
from model_export.embedder import read_bundle_embedder
from model_export.errors import ExportError
from model_export.export import export_bundle
from model_export.manifest import record
from tests.fixtures.tiny_embedder import build_tiny_embedder, build_transformer_folder


@pytest.fixture(scope="module")
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_path)


def test_the_same_checkpoint_makes_the_same_bundle(checkpoint: Checkpoint, tmp_path: Path) -> None:
    first = export_bundle(checkpoint, tmp_path / "a", "int8", "one command")
    second = export_bundle(checkpoint, tmp_path / "b", "int8", "another command")
    assert first.model_version == second.model_version
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in FILES)


def test_precisions_are_different_models(checkpoint: Checkpoint, tmp_path: Path) -> None:
    versions = {export_bundle(checkpoint, tmp_path / name, name).model_version for name in ("fp32", "int8")}
    assert len(versions) == 2


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_graphs_are_valid_and_share_one_embedding(checkpoint: Checkpoint, tmp_path: Path, precision: str) -> None:
    export_bundle(checkpoint, tmp_path, precision)
    entry = checkpoint.architecture.vocab_size * checkpoint.architecture.d_model
    assert (tmp_path / "embeddings.bin").stat().st_size == entry * (1 if precision == "int8" else 4)
    for name in ("encoder.onnx", "decoder.onnx"):
        graph = onnx.load(tmp_path / name, load_external_data=False).graph
        outside = [t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        assert [tensor.name for tensor in outside] == ["shared.weight"]
        assert {e.key: e.value for e in outside[0].external_data}["location"] == "embeddings.bin"


def test_int8_leaves_no_matrix_in_fp32(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_bundle(checkpoint, tmp_path, "int8")
    for name in ("encoder.onnx", "decoder.onnx"):
        tensors = onnx.load(tmp_path / name, load_external_data=False).graph.initializer
        matrices = {t.name for t in tensors if len(t.dims) == 2 and min(t.dims) > 1}
        floats = {t.name for t in tensors if t.name in matrices and t.data_type == onnx.TensorProto.FLOAT}
        assert floats == {"positions" if name == "encoder.onnx" else "position_table"}


def test_a_bundle_is_replaced_and_another_folder_is_not(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_bundle(checkpoint, tmp_path / "bundle", "int8")
    assert export_bundle(checkpoint, tmp_path / "bundle", "fp32").precision == "fp32"
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="is not empty and is not a bundle"):
        export_bundle(checkpoint, tmp_path / "papers", "int8")


def test_measurements_are_recorded_without_making_another_model(checkpoint: Checkpoint, tmp_path: Path) -> None:
    version = export_bundle(checkpoint, tmp_path, "int8").model_version
    record(tmp_path, "metrics", {"hr@8": 0.5, "mrr@8": 0.25})
    record(tmp_path, "metrics", {"hr@8": 0.625})
    bundle = load_bundle(tmp_path)
    assert bundle.model_version == version
    assert bundle.manifest["metrics"] == {"hr@8": 0.625, "mrr@8": 0.25}


def test_what_decides_answers_cannot_be_recorded(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_bundle(checkpoint, tmp_path, "int8")
    with pytest.raises(ExportError, match="'reject' is part of the model version"):
        record(tmp_path, "reject", {"threshold": 0.1})


def test_nothing_is_recorded_into_an_altered_bundle(checkpoint: Checkpoint, tmp_path: Path) -> None:
    export_bundle(checkpoint, tmp_path, "int8")
    (tmp_path / "decoder.onnx").write_bytes(b"")
    with pytest.raises(BundleError):
        record(tmp_path, "metrics", {})


def test_the_command_writes_a_bundle_and_no_paths_into_it(checkpoint_path: Path, tmp_path: Path) -> None:
    embedder = build_tiny_embedder(tmp_path / "embedder", ["sneaker", "kettle"])
    options = ["--precision", "fp32", "--embedder", str(tmp_path / "embedder")]
    result = CliRunner().invoke(main, ["export", str(checkpoint_path), str(tmp_path / "bundle"), *options])
    assert result.exit_code == 0, result.output
    assert f"fp32, embedder {embedder.version}" in result.output
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["created_with"] == "onebar export checkpoint bundle --precision fp32 --embedder embedder"
    assert manifest["embedder"] == {"kind": "static", "version": embedder.version, "dimension": 2, "tuned": {}}
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["export", str(tmp_path), str(tmp_path / "bundle")])
    assert result.exit_code == 1
    assert "config.json is missing; give a folder" in result.output


def test_the_embedder_is_copied_without_its_other_files_and_goes_when_another_bundle_replaces_it(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    build_tiny_embedder(tmp_path / "embedder", ["sneaker runner", "kettle"], {"personal_threshold": 0.5})
    (tmp_path / "embedder" / "report.json").write_text("{}")
    with_static = export_bundle(
        checkpoint, tmp_path / "bundle", "int8", embedder=read_bundle_embedder(tmp_path / "embedder")
    )
    copied = {path.relative_to(tmp_path / "bundle").as_posix() for path in (tmp_path / "bundle" / "embedder").iterdir()}
    assert copied == set(EMBEDDER_FILES) < set(with_static.manifest["files"])
    again = export_bundle(
        checkpoint, tmp_path / "bundle", "int8", embedder=read_bundle_embedder(tmp_path / "bundle" / "embedder")
    )
    assert again.model_version == with_static.model_version
    plain = export_bundle(checkpoint, tmp_path / "bundle", "int8")
    assert plain.model_version != with_static.model_version
    assert (plain.embedder.version, set(plain.manifest["files"])) == ("hashed-ngrams-1", set(FILES))
    assert not (tmp_path / "bundle" / "embedder").exists()


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"kind": "magic"}, "a bundle takes static and transformer"),
        ({"kind": "transformer", "dimension": 5000}, "a bundle takes vectors of 1 to 4096 dimensions, not 5000"),
        ({"format": 2}, "not of format 1"),
    ],
)
def test_an_embedder_that_a_bundle_cannot_have_is_refused(
    tmp_path: Path, manifest: dict[str, object], message: str
) -> None:
    folder = build_transformer_folder(tmp_path / "embedder", 384, {})
    written = json.loads((folder / "embedder.json").read_text())
    (folder / "embedder.json").write_text(json.dumps(written | manifest))
    with pytest.raises((EmbedderError, ExportError), match=message):
        read_bundle_embedder(folder)
