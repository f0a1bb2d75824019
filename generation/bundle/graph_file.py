"""The parts of an ONNX file that a bundle uses, read without the `onnx` package.

`onnx` is larger than everything else in serving. Its files are Protocol Buffers, and ONNX Runtime brings that library.
Field numbers are those of onnx.proto, which never change. The schema below holds the fields that `onebar export`
writes and no others: a file with any other field is refused, so that nothing in it goes unchecked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from generation.errors import BundleError

Constants = dict[str, NDArray[Any]]

FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7  # TensorProto.DataType
DTYPES: Mapping[int, type[np.generic]] = {
    FLOAT: np.float32, UINT8: np.uint8, INT8: np.int8, INT32: np.int32, INT64: np.int64,
}  # fmt: skip
_ATTRIBUTE_FIELDS = {1: "f", 2: "i", 7: "ints"}  # by AttributeProto.type
_EXTERNAL = 1  # TensorProto.DataLocation
_FIELDS = {
    "Entry": [("key", 1, "string"), ("value", 2, "string")],
    "Tensor": [
        ("dims", 1, "int64 repeated"), ("data_type", 2, "int32"), ("name", 8, "string"), ("raw_data", 9, "bytes"),
        ("external_data", 13, "Entry repeated"), ("data_location", 14, "int32"),
    ],
    "Dimension": [("dim_value", 1, "int64"), ("dim_param", 2, "string")],
    "Shape": [("dim", 1, "Dimension repeated")],
    "TensorType": [("elem_type", 1, "int32"), ("shape", 2, "Shape")],
    "Type": [("tensor_type", 1, "TensorType")],
    "Value": [("name", 1, "string"), ("type", 2, "Type")],
    "Attribute": [
        ("name", 1, "string"), ("f", 2, "float"), ("i", 3, "int64"), ("ints", 8, "int64 repeated"),
        ("type", 20, "int32"),
    ],
    "Node": [
        ("input", 1, "string repeated"), ("output", 2, "string repeated"), ("name", 3, "string"),
        ("op_type", 4, "string"), ("attribute", 5, "Attribute repeated"), ("domain", 7, "string"),
    ],
    "Graph": [
        ("node", 1, "Node repeated"), ("name", 2, "string"), ("initializer", 5, "Tensor repeated"),
        ("input", 11, "Value repeated"), ("output", 12, "Value repeated"),
    ],
    "OperatorSet": [("domain", 1, "string"), ("version", 2, "int64")],
    "Model": [
        ("ir_version", 1, "int64"), ("producer_name", 2, "string"), ("graph", 7, "Graph"),
        ("opset_import", 8, "OperatorSet repeated"),
    ],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """One operator call. attributes: pairs of a name and a number, or a tuple of numbers, sorted by name."""

    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[tuple[str, float | int | tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """An input or an output of a graph. A text in `shape` names a dimension that is known only at run time."""

    name: str
    data_type: int
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant of a graph.

    content: its bytes; None where they are in another file.
    external: where that is, as pairs of a key and a value.
    """

    name: str
    data_type: int
    shape: tuple[int, ...]
    content: bytes | None
    external: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class GraphFile:
    """What an ONNX file says. operator_sets: pairs of a domain and its version."""

    ir_version: int
    operator_sets: tuple[tuple[str, int], ...]
    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    tensors: Mapping[str, Tensor]

    def constants(self, external: NDArray[Any]) -> Constants:
        """Return the constants by name. Sizes must have been checked; `external` is the one in the external file."""
        return {
            tensor.name: external
            if tensor.content is None
            else np.frombuffer(tensor.content, DTYPES[tensor.data_type]).reshape(tensor.shape)
            for tensor in self.tensors.values()
        }


def parse_graph(content: bytes) -> GraphFile:
    """Read an ONNX file.

    Raises:
        BundleError: the bytes are no such file, or have a field that `onebar export` does not write.
    """
    model = _model_class()()
    try:
        model.ParseFromString(content)
        return _graph(model, len(content))
    except (DecodeError, UnicodeDecodeError):
        raise BundleError("it is not an ONNX file") from None


def _graph(model: Any, length: int) -> GraphFile:
    # What the schema above does not know, and what is written in a form that no writer gives it, is dropped here.
    model.DiscardUnknownFields()
    if model.ByteSize() != length:
        raise BundleError("it has fields that the format does not have")
    graph = model.graph
    tensors = {tensor.name: _tensor(tensor) for tensor in graph.initializer}
    if len(tensors) != len(graph.initializer):
        raise BundleError("two of its constants have the same name")
    return GraphFile(
        ir_version=model.ir_version,
        operator_sets=tuple((entry.domain, entry.version) for entry in model.opset_import),
        nodes=tuple(_node(node) for node in graph.node),
        inputs=tuple(_value(value) for value in graph.input),
        outputs=tuple(_value(value) for value in graph.output),
        tensors=tensors,
    )


def _node(node: Any) -> Node:
    attributes = []
    for attribute in node.attribute:
        field = _ATTRIBUTE_FIELDS.get(attribute.type, "")
        given = [name for name in _ATTRIBUTE_FIELDS.values() if name == "ints" and attribute.ints]
        given += [name for name in ("f", "i") if attribute.HasField(name)]
        if given != [field]:
            raise BundleError("an attribute of a node does not have the type that it states")
        value = getattr(attribute, field)
        attributes.append((attribute.name, tuple(value) if field == "ints" else value))
    return Node(node.op_type, node.domain, tuple(node.input), tuple(node.output), tuple(sorted(attributes)))


def _value(value: Any) -> Value:
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else str(d.dim_param) for d in kind.shape.dim)
    return Value(value.name, kind.elem_type, shape)


def _tensor(tensor: Any) -> Tensor:
    external = tuple((entry.key, entry.value) for entry in tensor.external_data)
    if (tensor.data_location == _EXTERNAL) != bool(external) or (external and tensor.HasField("raw_data")):
        raise BundleError("a constant is said to be both in the file and outside of it")
    content = None if external else tensor.raw_data
    return Tensor(tensor.name, tensor.data_type, tuple(tensor.dims), content, external)


@cache
def _model_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="onebar_onnx.proto", package="onebar_onnx", syntax="proto2")
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            type_name, _, repeated = kind.partition(" ")
            field = described.field.add(name=name, number=number)
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if type_name in _FIELDS:
                field.type, field.type_name = field.TYPE_MESSAGE, f".onebar_onnx.{type_name}"
            else:
                field.type = getattr(field, f"TYPE_{type_name.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("onebar_onnx.Model"))
