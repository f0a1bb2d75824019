"""What one thread of this machine can do: read, copy, multiply, each with nothing else to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from benchmarks.roofline.graphs import Product, Weights


def best_seconds(call: Callable[[], object], seconds: float) -> float:
    """Return the least time of a call, over at least `seconds` and three calls: a floor is what nothing disturbed."""
    call()
    found: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(found) < 3:
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return min(found)


def read_bandwidth(size: int, seconds: float) -> float:
    """Return the bytes a second of reading a buffer of `size` bytes over and over (a dot product with itself)."""
    buffer = np.ones(max(size // 4, 1024), np.float32)
    # A small buffer is read several times a call, so that the call itself does not count.
    times = max(1, 2**22 // buffer.nbytes)

    def read() -> None:
        for _ in range(times):
            buffer.dot(buffer)

    return times * buffer.nbytes / best_seconds(read, seconds)


def copy_bandwidth(size: int, seconds: float) -> float:
    """Return the bytes a second, read and written, of copying a buffer of `size` bytes."""
    source = np.ones(size, np.uint8)
    target = np.empty_like(source)
    return 2 * size / best_seconds(lambda: np.copyto(target, source), seconds)


def products_session(products: Sequence[Product], precision: str) -> ort.InferenceSession:
    """Return a session that multiplies an input of each depth with random weights of these shapes, and nothing else."""
    generator = np.random.default_rng(0)
    nodes, constants = [], [numpy_helper.from_array(np.array(0, np.int64), "first")]
    for index, product in enumerate(products):
        shape = (product.depth, product.width)
        if precision == "int8":
            weight: np.ndarray[Any, Any] = generator.integers(-127, 128, shape, np.int8)
        else:
            weight = generator.normal(size=shape).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"w{index}"))
        kind = "MatMulInteger" if precision == "int8" else "MatMul"
        nodes.append(helper.make_node(kind, [f"x{product.depth}", f"w{index}"], [f"y{index}"]))
        # One column leaves each product: handing the whole out would be a copy.
        nodes.append(helper.make_node("Gather", [f"y{index}", "first"], [f"m{index}"], axis=1))
    given, made = (
        (TensorProto.UINT8, TensorProto.INT32) if precision == "int8" else (TensorProto.FLOAT, TensorProto.FLOAT)
    )
    depths = sorted({product.depth for product in products})
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info(f"x{depth}", given, ["rows", depth]) for depth in depths],
        [helper.make_tensor_value_info(f"m{index}", made, ["rows"]) for index in range(len(products))],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def time_products(session: ort.InferenceSession, rows: int, seconds: float) -> float:
    """Return the seconds of one run of `products_session` with so many rows."""
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    feed = {given.name: np.ones((rows, given.shape[1]), kinds[given.type]) for given in session.get_inputs()}
    return best_seconds(lambda: session.run(None, feed), seconds)


def peak_multiplications(precision: str, seconds: float) -> float:
    """Return the multiplications a second of one large product, all of it in the second-level cache."""
    product = Product(512, 512)
    session = products_session([product], precision)
    rows = 384
    return Weights(0, (product,)).multiplications(rows) / time_products(session, rows, seconds)
