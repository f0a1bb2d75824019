"""What the tests of bundles ask of each: the backends of this machine, and the sentence of a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.backend import Backend
from generation.bundle import load_bundle
from generation.errors import BundleError
from generation.native.library import missing


def backends() -> list[Backend]:
    """Return the backends that can run on this machine."""
    return ["onnxruntime"] if missing() else ["native", "onnxruntime"]


def refusal(folder: Path) -> str:
    """Return the one sentence with which a bundle is refused."""
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 600
    return sentence
