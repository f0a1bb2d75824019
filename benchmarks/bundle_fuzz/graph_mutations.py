"""Random faults within the graphs: constants, nodes, inputs and outputs, and the bytes around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import TensorProto

from benchmarks.bundle_fuzz.restate import read_manifest, restate
from generation.bundle import DECODER, ENCODER

SIZES = (-1, 0, 1, 2, 3, 4, 7, 8, 16, 63, 64, 65, 128, 1000, 4096, 2**31 - 1, 2**31, 2**40, 2**63 - 1)
LOCATIONS = (
    "../../../../../../etc/passwd", "/etc/passwd", "/dev/zero", "", ".", "..", "manifest.json", "encoder.onnx",
    "nothing", "./embeddings.bin", "../bundle/embeddings.bin", "embeddings.bin\0", "*/_ORT_MEM_ADDR_/*",
)  # fmt: skip
TYPES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 21, 99, -1)
OPERATORS = ("Identity", "Add", "Div", "Mod", "Loop", "If", "Reshape", "Gather", "Softmax", "TopK", "MatMul", "Nothing")


def _change(folder: Path, random: Random, change: Callable[[onnx.ModelProto, Random], str]) -> str:
    name = random.choice((ENCODER, DECODER))
    model = onnx.load(str(folder / name), load_external_data=False)
    told = change(model, random)
    (folder / name).write_bytes(model.SerializeToString())
    restate(folder, read_manifest(folder))
    return f"{name}: {told}"[:160]


def graph_tensor(folder: Path, random: Random) -> str:
    """Change the shape, type, name, length or number of constants."""
    return _change(folder, random, _tensor)


def _tensor(model: onnx.ModelProto, random: Random) -> str:
    tensors = model.graph.initializer
    index = random.randrange(len(tensors))
    tensor = tensors[index]
    kind = random.choice(("dims", "dims", "more dims", "swap", "type", "rename", "delete", "copy", "cut", "extend"))
    told = f"{kind} {tensor.name}"
    if kind == "dims" and tensor.dims:
        place = random.randrange(len(tensor.dims))
        tensor.dims[place] = random.choice(
            (*SIZES, tensor.dims[place] + 1, tensor.dims[place] - 1, tensor.dims[place] * 2)
        )
    elif kind == "swap":
        tensor.dims[:] = list(tensor.dims)[::-1]
    elif kind == "type":
        tensor.data_type = random.choice(TYPES)
    elif kind == "rename":
        tensor.name = random.choice((tensors[random.randrange(len(tensors))].name, tensor.name + "_", "", "x" * 10_000))
    elif kind == "delete":
        del tensors[index]
    elif kind == "copy":
        tensors.add().CopyFrom(tensor)
    elif kind == "cut":
        tensor.raw_data = tensor.raw_data[: random.randint(0, max(0, len(tensor.raw_data) - 1))]
    elif kind == "extend":
        tensor.raw_data += bytes(random.randint(1, 64))
    else:
        tensor.dims.append(random.choice((0, 1, 2)))
    return told


def graph_external(folder: Path, random: Random) -> str:
    """Change where the embedding is said to be."""
    return _change(folder, random, _external)


def _external(model: onnx.ModelProto, random: Random) -> str:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    kind = random.choice(("location", "location", "offset", "length", "drop", "again", "inside", "another"))
    if kind in ("location", "offset", "length"):
        entry = next(entry for entry in tensor.external_data if entry.key == kind)
        entry.value = random.choice(LOCATIONS) if kind == "location" else str(random.choice((*SIZES, "", "x", "1e3")))
        kind = f"{kind} {entry.value!r}"
    elif kind == "drop":
        del tensor.external_data[random.randrange(len(tensor.external_data))]
    elif kind == "again":
        tensor.external_data.add(key="location", value=random.choice(LOCATIONS))
    elif kind == "inside":
        tensor.data_location = TensorProto.DEFAULT
    else:
        other = random.choice([tensor for tensor in model.graph.initializer if not tensor.external_data])
        other.data_location = TensorProto.EXTERNAL
        other.external_data.add(key="location", value=random.choice(LOCATIONS))
    return kind


def graph_weights(folder: Path, random: Random) -> str:
    """Put numbers into constants that no training gives."""
    return _change(folder, random, _weights)


def _weights(model: onnx.ModelProto, random: Random) -> str:
    tensor = random.choice([tensor for tensor in model.graph.initializer if tensor.raw_data])
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    values = np.frombuffer(tensor.raw_data, dtype).copy()
    count = random.choice((1, 3, values.size))
    places = np.array([random.randrange(values.size) for _ in range(min(count, 50))]) if count < 4 else slice(None)
    if dtype.kind == "f":
        value = random.choice((math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-45, 0.0, -1.0, 1e20))
    else:
        value = random.choice((0, 1, -1, 2, 127, -128, 2**31, 2**63 - 1, -(2**63)))
        value = int(np.clip(value, np.iinfo(dtype).min, np.iinfo(dtype).max))
    values[places] = value
    tensor.raw_data = values.tobytes()
    return f"{tensor.name} = {value}"


def graph_integers(folder: Path, random: Random) -> str:
    """Change the constants that say shapes, axes and divisors."""
    return _change(folder, random, _integers)


def _integers(model: onnx.ModelProto, random: Random) -> str:
    tensor = random.choice(
        [t for t in model.graph.initializer if t.data_type == TensorProto.INT64] or model.graph.initializer
    )
    values = np.frombuffer(tensor.raw_data, np.int64 if len(tensor.raw_data) % 8 == 0 else np.uint8).copy()
    place = random.randrange(values.size)
    values[place] = random.choice((-1, 0, 1, 2, 3, 5, 64, 2**31, 2**62, -(2**63))) if values.dtype == np.int64 else 0
    tensor.raw_data = values.tobytes()
    return f"{tensor.name}[{place}] = {values[place]}"


def graph_node(folder: Path, random: Random) -> str:
    """Change a node: its operator, names, attributes, place or number."""
    return _change(folder, random, _node)


def _node(model: onnx.ModelProto, random: Random) -> str:
    nodes = model.graph.node
    index = random.randrange(len(nodes))
    node = nodes[index]
    names = [name for other in nodes for name in (*other.input, *other.output)]
    kind = random.choice(
        ("input", "input", "output", "operator", "domain", "attribute", "attribute", "delete", "copy", "move")
    )
    told = f"{kind} of {node.name}"
    if kind == "input" and node.input:
        node.input[random.randrange(len(node.input))] = random.choice((*names, "", "nothing"))
    elif kind == "output":
        node.output[random.randrange(len(node.output))] = random.choice((*names, "", "nothing"))
    elif kind == "operator":
        node.op_type = random.choice((*OPERATORS, random.choice(nodes).op_type))
    elif kind == "domain":
        node.domain = random.choice(("", "com.microsoft", "ai.onnx", "ai.onnx.ml", "nothing"))
    elif kind == "attribute" and node.attribute:
        attribute = random.choice(node.attribute)
        attribute.i = random.choice((-(2**63), -1, 0, 1, 2, 3, 5, 16, 2**31, 2**62))
        if attribute.ints:
            attribute.ClearField("i")
            attribute.ints[random.randrange(len(attribute.ints))] = random.choice((-1, 0, 1, 7, 2**40))
        if random.random() < 0.1:
            attribute.type = random.choice((0, 1, 2, 3, 5, 7, 99))
    elif kind == "delete":
        del nodes[index]
    elif kind == "copy":
        nodes.add().CopyFrom(node)
    else:
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        del nodes[index]
        nodes.insert(random.randrange(len(nodes)), moved)
    return told


def graph_interface(folder: Path, random: Random) -> str:
    """Change the inputs and outputs of a graph, or the versions that it names."""
    return _change(folder, random, _interface)


def _interface(model: onnx.ModelProto, random: Random) -> str:
    values = random.choice((model.graph.input, model.graph.output))
    index = random.randrange(len(values))
    value = values[index]
    kind = random.choice(("name", "type", "dimension", "name of dimension", "delete", "versions"))
    told = f"{kind} of {value.name}"
    shape = value.type.tensor_type.shape.dim
    if kind == "name":
        value.name = random.choice((values[random.randrange(len(values))].name, "nothing", ""))
    elif kind == "type":
        value.type.tensor_type.elem_type = random.choice(TYPES)
    elif kind == "dimension":
        shape[random.randrange(len(shape))].dim_value = random.choice(SIZES)
    elif kind == "name of dimension":
        shape[random.randrange(len(shape))].dim_param = random.choice(("R", "B", "S", "K", ""))
    elif kind == "delete":
        del values[index]
    else:
        model.ir_version = random.choice((0, 3, 8, 9, 10, 99))
        model.opset_import[0].version = random.choice((0, 7, 17, 18, 19, 99))
    return told


def graph_bytes(folder: Path, random: Random) -> str:
    """Change bytes of a graph outside of its large constants."""
    name = random.choice((ENCODER, DECODER))
    content = bytearray((folder / name).read_bytes())
    model = onnx.load(str(folder / name), load_external_data=False)
    small = [t.name.encode() for t in model.graph.initializer] + [n.name.encode() for n in model.graph.node]
    place = content.find(random.choice(small))
    count = random.choice((1, 1, 2, 4))
    for _ in range(count):
        near = max(0, min(len(content) - 1, place + random.randint(-24, 40)))
        content[near] = random.choice(
            (0, 255, 127, 128, content[near] ^ (1 << random.randrange(8)), random.randrange(256))
        )
    (folder / name).write_bytes(content)
    restate(folder, read_manifest(folder))
    return f"{name}: {count} bytes near {place}"


GRAPH_MUTATIONS = (
    graph_tensor, graph_external, graph_weights, graph_integers, graph_node, graph_interface, graph_bytes,
)  # fmt: skip
