"""The embedder of a bundle: which one is loaded, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evidence.embedder import HashedEmbedder, StoredVectors
from evidence.static_embedder import StaticEmbedder
from generation.bundle import EMBEDDER_FILES, load_bundle
from tests.fixtures.tiny_embedder import (
    TRANSFORMER_VERSION,
    build_tiny_embedder,
    build_transformer_folder,
    put_embedder,
    restate,
)
from tests.unit.generation.bundle.refusals import refusal

TUNED = {"personal_threshold": 0.375}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_tiny_embedder(tmp_path / "embedder", ["sneaker runner", "kettle"], TUNED)
    return tmp_path / "embedder"


@pytest.fixture
def with_static(bundle_copy: Path, folder: Path) -> Path:
    return put_embedder(bundle_copy, folder)


def test_a_bundle_without_an_embedder_means_the_hashed_one(bundle_path: Path) -> None:
    assert isinstance(load_bundle(bundle_path).embedder, HashedEmbedder)


def test_a_static_embedder_is_loaded(with_static: Path) -> None:
    embedder = load_bundle(with_static).embedder
    assert isinstance(embedder, StaticEmbedder)
    assert (embedder.dimension, embedder.tuned, embedder.embeds_texts) == (2, TUNED, True)
    np.testing.assert_array_equal(embedder.embed(["Runner", "kettle"]), np.eye(2))


def test_of_a_transformer_the_bundle_has_the_version_and_no_file(bundle_copy: Path, tmp_path: Path) -> None:
    put_embedder(bundle_copy, build_transformer_folder(tmp_path / "transformer", 384, TUNED))
    embedder = load_bundle(bundle_copy).embedder
    assert isinstance(embedder, StoredVectors)
    assert (embedder.version, embedder.dimension, embedder.tuned) == (TRANSFORMER_VERSION, 384, TUNED)
    assert embedder.embed(["kettle"]).shape == (1, 384)


def test_the_model_version_changes_with_the_embedder_and_with_its_tuned_settings(
    bundle_path: Path, folder: Path, tmp_path: Path
) -> None:
    def version(name: str, **tuned: float) -> str:
        build_tiny_embedder(tmp_path / name, ["sneaker runner", "kettle"], tuned)
        shutil.copytree(bundle_path, tmp_path / f"bundle {name}")
        return load_bundle(put_embedder(tmp_path / f"bundle {name}", tmp_path / name)).model_version

    versions = [version("a", **TUNED), version("b", **TUNED), version("c", personal_threshold=0.5)]
    assert versions[0] == versions[1] != versions[2]
    assert load_bundle(bundle_path).model_version not in versions


@pytest.mark.parametrize("name", EMBEDDER_FILES)
def test_a_missing_or_altered_file_is_named(with_static: Path, name: str) -> None:
    content = (with_static / name).read_bytes()
    (with_static / name).write_bytes(content[:-1] + b"\0")
    assert f"{name} is not the file that was exported" in refusal(with_static)
    (with_static / name).write_bytes(content[:-1])
    assert f"{name} has {len(content) - 1} bytes" in refusal(with_static)
    (with_static / name).unlink()
    assert f"{name} is missing; copy the bundle again" in refusal(with_static)


def test_a_link_out_of_the_bundle_is_refused(with_static: Path, folder: Path) -> None:
    (with_static / "embedder/vectors.bin").unlink()
    (with_static / "embedder/vectors.bin").symlink_to(folder / "vectors.bin")
    assert "is a link that leads out of the bundle" in refusal(with_static)


def edited_inside(folder: Path, **values: object) -> None:
    path = folder / "embedder/embedder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    restate(folder)


def section_with(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        section = json.loads((folder / "manifest.json").read_text())["embedder"]
        restate(folder, embedder={**section, **values})

    return change


def without_vectors(folder: Path) -> None:
    (folder / "embedder/vectors.bin").unlink()
    restate(folder)


def of_other_vectors(folder: Path) -> None:
    content = (folder / "embedder/vectors.bin").read_bytes()
    (folder / "embedder/vectors.bin").write_bytes(b"\x7f" + content[1:])
    restate(folder)


def larger_than_allowed(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["embedder/vectors.bin"]["bytes"] = 1 << 30
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (section_with(version="static-0000000000000000"), "is not the embedder that manifest.json describes"),
        (section_with(tuned={"personal_threshold": 0.5}), "is not the embedder that manifest.json describes"),
        (section_with(dimension=3), "is not the embedder that manifest.json describes"),
        (section_with(kind="transformer"), "embedder.version must be transformer- and 16 hex digits"),
        (
            section_with(kind="transformer", version=TRANSFORMER_VERSION),
            "are listed if and only if embedder.kind is static",
        ),
        (section_with(kind="magic"), "embedder.kind must be static or transformer"),
        (section_with(version="static-1"), "embedder.version must be static- and 16 hex digits"),
        (section_with(version=7), "embedder.version must be"),
        (section_with(dimension=True), "embedder.dimension must be a whole number"),
        (section_with(dimension=1 << 20), "embedder.dimension must be a whole number"),
        (section_with(tuned={"personal_threshold": 2}), "embedder.tuned must have a number from -1 to 1"),
        (section_with(more=1), "embedder must have exactly the keys"),
        (lambda folder: restate(folder, embedder=None), "embedder must have exactly the keys"),
        (without_vectors, "must list exactly the files"),
        (of_other_vectors, "is not the file that the manifest names"),
        (larger_than_allowed, "gives no size and hash that embedder/vectors.bin can have"),
        (lambda folder: edited_inside(folder, vocabulary_size=1 << 40), "vocabulary_size must be a whole number"),
        (lambda folder: edited_inside(folder, kind="transformer"), "only 'static' can be used"),
    ],
)
def test_an_embedder_that_contradicts_the_manifest_is_refused(
    with_static: Path, change: Callable[[Path], None], message: str
) -> None:
    change(with_static)
    assert message in refusal(with_static)


def test_files_of_an_embedder_without_a_section_are_refused(with_static: Path) -> None:
    manifest = json.loads((with_static / "manifest.json").read_text())
    del manifest["embedder"]
    (with_static / "manifest.json").write_text(json.dumps(manifest))
    restate(with_static)
    assert "are listed if and only if" in refusal(with_static)
