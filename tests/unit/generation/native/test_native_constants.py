from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from generation.native.constants import read_constants

DEMO = Path(__file__).resolve().parents[4] / "demo" / "bundle"


@pytest.mark.parametrize("graph", ["encoder.onnx", "decoder.onnx"])
def test_constants_are_read_as_the_onnx_package_reads_them(graph: str) -> None:
    expected = onnx.load(str(DEMO / graph)).graph.initializer
    constants = read_constants(DEMO / graph)
    assert set(constants) == {tensor.name for tensor in expected}
    for tensor in expected:
        array = numpy_helper.to_array(tensor)
        assert constants[tensor.name].dtype == array.dtype
        np.testing.assert_array_equal(constants[tensor.name], array)
