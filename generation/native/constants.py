"""The constants of an ONNX graph, without running it and without the `onnx` package.

`onnx` is larger than all of serving. Its files are Protocol Buffers, whose library ONNX Runtime brings, and of their
schema only what names and holds a tensor is needed. Field numbers are those of onnx.proto, which are fixed for good.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from generation.errors import BundleError

Constants = dict[str, NDArray[Any]]

_DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64}
_FIELDS = {
    "Entry": [("key", 1, "string"), ("value", 2, "string")],
    "Tensor": [
        ("dims", 1, "int64 repeated"), ("data_type", 2, "int32"), ("name", 8, "string"), ("raw_data", 9, "bytes"),
        ("external_data", 13, "Entry repeated"),
    ],
    "Graph": [("initializer", 5, "Tensor repeated")],
    "Model": [("graph", 7, "Graph")],
}  # fmt: skip


def read_constants(graph: Path) -> Constants:
    """Return a graph's initializers by name; those in external files are mapped into memory.

    Raises:
        BundleError: the file is no ONNX graph.
    """
    model = _model_class()()
    try:
        model.ParseFromString(graph.read_bytes())
    except DecodeError as error:
        raise BundleError(
            f"{graph} is not a graph that can be read ({error}); export the checkpoint again with `onebar export`"
        ) from error
    return {tensor.name: _array(tensor, graph.parent) for tensor in model.graph.initializer}


def _array(tensor: Any, folder: Path) -> NDArray[Any]:
    dtype, shape = _DTYPES[tensor.data_type], tuple(tensor.dims)
    if tensor.external_data:
        where = {entry.key: entry.value for entry in tensor.external_data}
        return np.memmap(folder / where["location"], dtype, "r", int(where.get("offset", 0)), shape)
    return np.frombuffer(tensor.raw_data, dtype).reshape(shape)


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
