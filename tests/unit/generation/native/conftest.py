from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from generation import backend
from generation.bundle import Bundle
from generation.cpu import cpu_flags
from generation.native.library import NEEDED_FLAGS, load_for, missing
from model_export.checkpoint import load_checkpoint
from model_export.export import export_bundle
from tests.fixtures.tiny_bundle import build_tiny_checkpoint

# Sizes that leave remainders: heads narrower and wider than a register, rows and vocabularies past whole ones.
MODELS = {
    "narrow heads": {},
    "wide heads": {"d_model": 128, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 256,
                   "decoder_ffn_dim": 256},
    "heads of 20": {"d_model": 80, "decoder_layers": 3, "encoder_ffn_dim": 144, "decoder_ffn_dim": 176},
}  # fmt: skip


@pytest.fixture(scope="session", params=list(MODELS))
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The same random model as an int8 and as an fp32 bundle."""
    if lacking := missing():
        pytest.skip(f"the native kernels cannot run here: {lacking}")
    folder: Path = tmp_path_factory.mktemp("native")
    checkpoint = load_checkpoint(build_tiny_checkpoint(folder / "checkpoint", **MODELS[request.param]))
    return {precision: export_bundle(checkpoint, folder / precision, precision) for precision in ("int8", "fp32")}


@pytest.fixture(autouse=True, params=list(NEEDED_FLAGS))
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The kernels of each instruction set that this machine can run, in use."""
    if lacking := missing() or " ".join(sorted(NEEDED_FLAGS[request.param] - cpu_flags())):
        pytest.skip(f"the {request.param} kernels cannot run here: {lacking}")
    module = load_for(request.param)
    monkeypatch.setattr(backend, "load", lambda: module)
    return module
