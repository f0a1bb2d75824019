"""A small writer of ONNX graphs: values are names, and every operator call returns the names of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 9
MICROSOFT = "com.microsoft"

Shape = Sequence[int | str]


class GraphBuilder:
    """Collects the nodes, inputs, outputs and constants of one graph."""

    def __init__(self, name: str) -> None:
        """Start an empty graph."""
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def input(self, name: str, dtype: int, shape: Shape) -> str:
        """Declare a graph input; a string in `shape` names a dynamic dimension."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def output(self, value: str, name: str, dtype: int, shape: Shape) -> None:
        """Make a value an output of the graph under a public name. The value is renamed: an Identity would copy it."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if held == value else held for held in names]
        self._outputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant; the same name must always mean the same array."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def external_constant(self, name: str, array: NDArray[Any], location: str) -> str:
        """Add a constant whose bytes are the whole of the file `location` beside the graph."""
        tensor = TensorProto(
            name=name,
            dims=array.shape,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (("location", location), ("offset", 0), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        self._constants[name] = tensor
        return name

    def ints(self, *values: int) -> str:
        """Return a constant int64 vector, as shapes and axes are given."""
        return self.constant("ints_" + "_".join(map(str, values)).replace("-", "m"), np.array(values, np.int64))

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output and return its name. An empty string leaves an optional input out."""
        return self.multi(kind, *inputs, outputs=1, name=name, domain=domain, **attributes)[0]

    def multi(
        self, kind: str, *inputs: str, outputs: int, name: str = "", domain: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """Add an operator with several outputs and return their names."""
        node_name = f"{name or kind}_{len(self._nodes)}"
        made = tuple(f"{node_name}:{index}" for index in range(outputs))
        self._nodes.append(
            helper.make_node(kind, list(inputs), list(made), name=node_name, domain=domain, **attributes)
        )
        return made

    def save(self, path: Path) -> None:
        """Write the graph as an ONNX file; external constants must be written by the caller."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, initializer=list(self._constants.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="onebar", ir_version=IR_VERSION)
        path.write_bytes(model.SerializeToString(deterministic=True))
