from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto

from generation.session import multiplies_int8_exactly, open_session, session_options
from model_export.graph_builder import MICROSOFT, GraphBuilder


@pytest.mark.parametrize(
    ("flags", "exact"),
    [
        ("fpu avx2 avx512f avx512_vnni", True),
        ("fpu avx2 avx_vnni", True),
        ("fpu avx2 amx_int8", True),
        ("fpu avx2 fma", False),
        ("fpu avx2 avx512f avx512bw", False),
    ],
)
def test_int8_products_are_exact_only_on_cpus_that_do_not_saturate(tmp_path: Path, flags: str, exact: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: {flags}\n")
    assert multiplies_int8_exactly(cpuinfo, "x86_64") is exact


def test_int8_products_are_not_exact_on_an_unknown_cpu(tmp_path: Path) -> None:
    assert multiplies_int8_exactly(tmp_path / "absent", "x86_64") is False


def test_int8_products_saturate_only_on_x86(tmp_path: Path) -> None:
    assert multiplies_int8_exactly(tmp_path / "absent", "aarch64") is True


def test_a_session_has_the_given_number_of_threads() -> None:
    options = session_options(3)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL


@pytest.mark.parametrize("constant_scale", [False, True], ids=["encoder's product", "decoder's product"])
@pytest.mark.parametrize("widen", [None, True], ids=["this CPU's own way", "weights widened"])
def test_the_largest_products_do_not_saturate(tmp_path: Path, widen: bool | None, constant_scale: bool) -> None:
    # 255 * 127 + 255 * 127 does not fit 16 bits, which is where a CPU without VNNI keeps the sum of two products.
    rows, depth, columns = 8, 256, 64
    graph = GraphBuilder("extreme")
    x = graph.input("x", TensorProto.FLOAT, ["rows", depth])
    weight = graph.constant("weight", np.full((depth, columns), 127, np.int8))
    scale = graph.constant("scale", np.full(columns, 1 / 127, np.float32))
    bias = graph.constant("bias", np.zeros(columns, np.float32))
    if constant_scale:
        step, zero = graph.constant("step", np.float32(1.0)), graph.constant("zero", np.uint8(0))
        quantized = graph.op("QuantizeLinear", x, step, zero)
        y = graph.op("MatMulIntegerToFloat", quantized, weight, step, scale, zero, "", bias, domain=MICROSOFT)
    else:
        y = graph.op("DynamicQuantizeMatMul", x, weight, scale, "", bias, domain=MICROSOFT)
    graph.output(y, "y", TensorProto.FLOAT, ["rows", columns])
    graph.save(tmp_path / "extreme.onnx")

    session = open_session(tmp_path / "extreme.onnx", session_options(1, widen_int8=widen))
    (product,) = session.run(None, {"x": np.full((rows, depth), 255.0, np.float32)})
    np.testing.assert_allclose(product, depth * 255.0, rtol=1e-4)
