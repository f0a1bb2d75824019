"""Which constants a graph must read in a run, and which of them are multiplied with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

_VIEWS = ("Transpose", "Cast", "DequantizeLinear", "Identity")


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix of weights that activations are multiplied with: [depth, width]."""

    depth: int
    width: int


@dataclass(frozen=True, slots=True)
class Weights:
    """What one run of a graph reads of its constants.

    streamed_bytes: of constants that are read whole; of tables that rows are gathered from, nothing is counted.
    products: the matrices among them.
    """

    streamed_bytes: int
    products: tuple[Product, ...]

    def multiplications(self, rows: int) -> int:
        """Multiplications with weights, for so many rows of activations."""
        return rows * sum(product.depth * product.width for product in self.products)


def read_weights(path: Path) -> Weights:
    """Read from a graph which constants a run must stream."""
    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    streamed = {
        name
        for node in graph.node
        for position, name in enumerate(node.input)
        if name in constants and not (node.op_type.startswith("Gather") and position == 0)
    }
    products = []
    for node in graph.node:
        # Attention may do the projections of its queries, keys and values itself.
        if "MatMul" not in node.op_type and node.op_type not in ("Gemm", "Attention", "QAttention"):
            continue
        for name in node.input[:2]:
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            while name in maker and maker[name].op_type in _VIEWS:
                turned ^= maker[name].op_type == "Transpose"
                name = maker[name].input[0]
            if name in constants and len(constants[name].dims) == 2:
                depth, width = reversed(constants[name].dims) if turned else constants[name].dims
                products.append(Product(depth, width))
    return Weights(sum(_bytes(constants[name]) for name in streamed), tuple(products))


def _bytes(tensor: onnx.TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64)) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
