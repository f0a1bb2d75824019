from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from generation import backend
from generation.backend import choose_backend
from generation.bundle import Bundle, load_bundle
from generation.cpu import cpu_flags
from generation.engine import Engine
from generation.errors import BackendError
from generation.native.library import NEEDED_FLAGS, missing
from generation.request import GenerationRequest

SOURCE = [0, 165, 198, 279, 221, 120, 5, 194, 40, 25, 213, 5, 194, 5, 77, 54, 126, 5, 2]


@pytest.fixture
def bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path)


@pytest.fixture
def with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "missing", lambda: "")


@pytest.mark.usefixtures("with_kernels")
def test_the_native_backend_is_chosen_if_its_kernels_can_run(bundle: Bundle) -> None:
    int8, fp32 = replace(bundle, precision="int8"), replace(bundle, precision="fp32")
    assert choose_backend(int8, threads=1) == "native"
    assert choose_backend(int8, threads=2) == "onnxruntime"
    assert choose_backend(fp32, threads=1) == "onnxruntime"
    assert choose_backend(int8, threads=1, wanted="onnxruntime") == "onnxruntime"


@pytest.mark.usefixtures("with_kernels")
@pytest.mark.parametrize(("precision", "threads", "reason"), [("fp32", 1, "is fp32"), ("int8", 2, "2 were asked for")])
def test_a_requested_native_backend_that_cannot_run_is_refused_with_the_reason(
    bundle: Bundle, precision: str, threads: int, reason: str
) -> None:
    with pytest.raises(BackendError, match=f"{reason}; choose the backend auto or onnxruntime"):
        choose_backend(replace(bundle, precision=precision), threads, wanted="native")


def test_onnx_runtime_is_the_backend_without_kernels(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "missing", lambda: "they were not compiled")
    assert choose_backend(replace(bundle, precision="int8"), threads=1) == "onnxruntime"
    assert Engine(bundle).generate(GenerationRequest(SOURCE, bundle.generation)).hypotheses
    with pytest.raises(BackendError, match="they were not compiled"):
        Engine(replace(bundle, precision="int8"), backend="native")


def test_cpu_flags_are_read_from_proc_cpuinfo(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n\nflags\t\t: none\n")
    assert cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2", "avx512f"}
    assert cpu_flags(tmp_path / "nothing") == frozenset()


def test_kernels_are_missing_on_a_cpu_without_their_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.native.library.find_spec", lambda name: name)
    monkeypatch.setattr("generation.native.library.cpu_flags", lambda: NEEDED_FLAGS["avx2"] - {"fma"})
    assert missing() == "this CPU lacks fma"
