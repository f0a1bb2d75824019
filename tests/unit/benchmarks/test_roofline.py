"""What a graph must read and multiply, counted; and that the floors are measured at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.roofline.floors import copy_bandwidth, products_session, read_bandwidth, time_products
from benchmarks.roofline.graphs import Product, Weights, read_weights
from benchmarks.roofline.operators import RUN, operator_milliseconds, summarize
from generation.bundle import load_bundle
from generation.options import GenerationOptions
from tests.fixtures.tiny_bundle import build_tiny_bundle


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """Rows of a table, multiplied with a matrix, and with the table turned round."""
    constants = {
        "table": np.zeros((100, 8), np.float32),
        "rows": np.zeros(100, np.float32),
        "matrix": np.zeros((8, 8), np.int8),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        helper.make_node("Gather", ["rows", "ids"], ["scale"]),
        helper.make_node("Cast", ["matrix"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["y"]),
        helper.make_node("Transpose", ["table"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["y", "turned"], ["z"]),
        helper.make_node("MatMul", ["z", "z"], ["of no weights"]),
    ]
    path = tmp_path / "graph.onnx"
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        initializer=[numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(made), str(path))
    return path


def test_a_table_that_rows_are_gathered_from_is_not_streamed_unless_it_is_multiplied_with(graph: Path) -> None:
    found = read_weights(graph)
    assert found.streamed_bytes == 100 * 8 * 4 + 8 * 8  # not "rows"
    assert found.products == (Product(8, 8), Product(8, 100))
    assert found.multiplications(3) == 3 * (64 + 800)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_weight_of_a_bundle_is_found(tmp_path: Path, precision: str) -> None:
    bundle = load_bundle(build_tiny_bundle(tmp_path / "bundle", precision=precision))
    sizes = bundle.architecture
    width, inner = sizes.d_model, 64
    attention = 4 * width**2
    encoder = sizes.encoder_layers * (attention + 2 * width * inner) + sizes.decoder_layers * 2 * width**2
    # Of cross-attention a step has the query and the output: keys and values were the encoder's.
    decoder = sizes.decoder_layers * (attention + 2 * width**2 + 2 * width * inner) + width * sizes.vocab_size
    assert read_weights(bundle.encoder_path).multiplications(1) == encoder
    assert read_weights(bundle.decoder_path).multiplications(1) == decoder
    each = 1 if precision == "int8" else 4
    assert read_weights(bundle.decoder_path).streamed_bytes >= each * decoder


def test_floors_are_positive() -> None:
    assert read_bandwidth(2**16, 0.0) > 0
    assert copy_bandwidth(2**16, 0.0) > 0


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_products_take_any_number_of_rows(precision: str) -> None:
    session = products_session((Product(16, 8), Product(8, 24), Product(16, 16)), precision)
    assert time_products(session, 1, 0.0) > 0
    assert time_products(session, 5, 0.0) > 0
    assert Weights(0, (Product(16, 8),)).multiplications(2) == 256


def node(name: str, kind: str, microseconds: int) -> dict[str, object]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": {"op_name": kind}}


def test_nodes_of_a_kind_are_added_up_by_their_medians() -> None:
    events = [
        {"cat": "Session", "name": "session_initialization", "dur": 99999},
        {"cat": "Node", "name": "one_fence_before", "dur": 99999, "args": {"op_name": "MatMul"}},
        *(node("one", "MatMul", spent) for spent in (1000, 2000, 900000)),
        node("two", "MatMul", 500),
        node("three", "Add", 100),
        *({"cat": "Session", "name": "model_run", "dur": spent} for spent in (3000, 5000, 4000)),
    ]
    assert summarize(events) == {RUN: 4.0, "MatMul": 2.5, "Add": 0.1}


def test_a_profile_has_the_operators_of_both_graphs(tmp_path: Path) -> None:
    bundle = load_bundle(build_tiny_bundle(tmp_path / "bundle", precision="fp32"))
    found = operator_milliseconds(bundle, GenerationOptions(max_new_tokens=4), [[0, 9, 10, 11, 2]])
    assert set(found) == {"encode", "step", "step of many"}
    for operators in found.values():
        assert {RUN, "MatMul"} <= set(operators)
        assert list(operators.values()) == sorted(operators.values(), reverse=True)
