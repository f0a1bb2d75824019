"""ONNX files are read as the `onnx` package reads them, and files with anything beyond the format are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from generation.bundle import load_bundle
from generation.bundle.graph_file import parse_graph
from generation.errors import BundleError

DEMO = Path(__file__).resolve().parents[4] / "demo" / "bundle"
GRAPHS = ("encoder.onnx", "decoder.onnx")


@pytest.mark.parametrize("graph", GRAPHS)
def test_constants_are_read_as_the_onnx_package_reads_them(graph: str) -> None:
    expected = onnx.load(str(DEMO / graph)).graph.initializer
    constants = load_bundle(DEMO).constants(graph)
    assert set(constants) == {tensor.name for tensor in expected}
    for tensor in expected:
        array = numpy_helper.to_array(tensor)
        assert constants[tensor.name].dtype == array.dtype
        np.testing.assert_array_equal(constants[tensor.name], array)


@pytest.mark.parametrize("graph", GRAPHS)
def test_nodes_inputs_and_outputs_are_read_as_the_onnx_package_reads_them(graph: str) -> None:
    expected = onnx.load(str(DEMO / graph), load_external_data=False).graph
    found = parse_graph((DEMO / graph).read_bytes())
    assert [(n.kind, n.domain, list(n.inputs), list(n.outputs)) for n in found.nodes] == [
        (n.op_type, n.domain, list(n.input), list(n.output)) for n in expected.node
    ]
    for node, other in zip(found.nodes, expected.node, strict=True):
        values = {a.name: onnx.helper.get_attribute_value(a) for a in other.attribute}
        assert {name: list(v) if isinstance(v, tuple) else v for name, v in node.attributes} == values
    assert [value.name for value in found.inputs] == [value.name for value in expected.input]
    assert [value.name for value in found.outputs] == [value.name for value in expected.output]


def _function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="here")


def _subgraph(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", model.graph.__class__()))


def _floats_twice(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.append(1.0)


def _sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


@pytest.mark.parametrize("change", [_function, _subgraph, _floats_twice, _sparse])
def test_a_field_that_the_format_does_not_have_is_refused(change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(str(DEMO / "encoder.onnx"), load_external_data=False)
    change(model)
    with pytest.raises(BundleError, match="fields that the format does not have"):
        parse_graph(model.SerializeToString())


@pytest.mark.parametrize("content", [b"\xff" * 100, b"not a graph", b"\x3a\xff\xff\xff\xff\x0f"])
def test_bytes_that_are_no_onnx_file_are_refused(content: bytes) -> None:
    with pytest.raises(BundleError):
        parse_graph(content)
