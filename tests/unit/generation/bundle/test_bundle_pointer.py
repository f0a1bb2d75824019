"""The pointer of a bundle: what is loaded, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.bundle_fuzz.restate import restate
from generation.bundle import MANIFEST, POINTER, load_bundle
from model_export.checkpoint import load_checkpoint
from model_export.export import export_bundle
from tests.fixtures.tiny_bundle import build_tiny_checkpoint
from tests.unit.generation.bundle.refusals import refusal


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with_pointer")
    checkpoint = load_checkpoint(build_tiny_checkpoint(folder / "checkpoint", seed=1, pointer_hidden=16))
    return export_bundle(checkpoint, folder / "bundle", "int8").path


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "bundle"))


def change(folder: Path, section: Any, content: bytes | None = None) -> Path:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["pointer"] = section
    if content is not None:
        (folder / POINTER).write_bytes(content)
    restate(folder, manifest)
    return folder


def test_a_bundle_without_a_pointer_has_none(bundle_path: Path) -> None:
    assert load_bundle(bundle_path).pointer is None


def test_a_pointer_is_loaded(folder: Path) -> None:
    pointer = load_bundle(folder).pointer
    assert pointer is not None
    assert (pointer.inner.shape, pointer.outer.shape, pointer.generate.shape) == ((32, 16), (16,), (32,))


def test_the_model_version_changes_with_the_pointer(folder: Path, exported: Path) -> None:
    numbers = np.frombuffer((folder / POINTER).read_bytes(), "<f4") * 2
    changed = change(folder, {"hidden": 16, "places": 48}, numbers.tobytes())
    assert load_bundle(changed).model_version != load_bundle(exported).model_version


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (None, "pointer must have exactly the keys"),
        ({"hidden": 16}, "pointer must have exactly the keys"),
        ({"hidden": 0, "places": 48}, "pointer.hidden"),
        ({"hidden": 1 << 20, "places": 48}, "pointer.hidden"),
        ({"hidden": True, "places": 48}, "pointer.hidden"),
        ({"hidden": 16, "places": 47}, "pointer.places"),
        ({"hidden": 15, "places": 48}, "pointer.bin of this architecture has"),
    ],
)
def test_a_section_of_another_form_is_refused(folder: Path, section: Any, said: str) -> None:
    assert said in refusal(change(folder, section))


def test_a_file_of_another_size_is_refused(folder: Path) -> None:
    assert "pointer.bin of this architecture has" in refusal(change(folder, {"hidden": 16, "places": 48}, b"\0" * 8))


def test_a_number_that_is_not_finite_is_refused(folder: Path) -> None:
    numbers = np.frombuffer((folder / POINTER).read_bytes(), "<f4").copy()
    numbers[7] = np.inf
    assert "not finite" in refusal(change(folder, {"hidden": 16, "places": 48}, numbers.tobytes()))


def test_a_file_without_a_section_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["pointer"]
    restate(folder, manifest)
    assert "if and only if" in refusal(folder)


def test_an_altered_file_is_refused(folder: Path) -> None:
    content = bytearray((folder / POINTER).read_bytes())
    content[5] ^= 1
    (folder / POINTER).write_bytes(content)
    assert "SHA-256 differs" in refusal(folder)


def test_an_export_without_a_pointer_removes_the_file(folder: Path, tmp_path: Path) -> None:
    plain = load_checkpoint(build_tiny_checkpoint(tmp_path / "plain", seed=1))
    assert export_bundle(plain, folder, "int8").pointer is None
    assert not (folder / POINTER).exists()
