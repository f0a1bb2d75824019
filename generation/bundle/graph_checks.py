"""Checks of the two graphs of a bundle against its architecture, before anything runs them."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.bundle.architecture import INT8_GROUP, MOST_FEED_FORWARD, Architecture, SpecialTokens
from generation.bundle.graph_file import DTYPES, GraphFile, Tensor, parse_graph
from generation.bundle.graph_plan import EXTERNAL, IR_VERSION, OPERATOR_SETS, Constant, Plan, Sizes
from generation.bundle.graphs import plan_decoder, plan_encoder
from generation.bundle.vocabulary_blocks import whole_blocks
from generation.errors import BundleError


def embedding_bytes(sizes: Architecture, *, int8: bool) -> int:
    """Return the size that the file of the token embedding must have."""
    return whole_blocks(sizes.vocab_size) * sizes.d_model * (1 if int8 else 4)


def embedding_array(content: bytes, sizes: Architecture, *, int8: bool) -> NDArray[Any]:
    """Return the token embedding [rows, d_model] that the content of its file is; the size must have been checked."""
    return np.frombuffer(content, np.int8 if int8 else np.float32).reshape(-1, sizes.d_model)


def check_encoder(
    content: bytes, embedding: NDArray[Any], location: str, sizes: Architecture, specials: SpecialTokens, *, int8: bool
) -> None:
    """Check the encoder graph.

    Args:
        content: of its file.
        embedding: the token embedding [rows, d_model].
        location: name of the file that the embedding is in.
        sizes: of the model.
        specials: of the model.
        int8: whether the bundle is an int8 one.

    Raises:
        BundleError: the graph is not that of such a model; the message says where they differ.
    """
    _check_graph(content, embedding, location, sizes, specials, "encoder", plan_encoder, int8=int8)


def check_decoder(
    content: bytes, embedding: NDArray[Any], location: str, sizes: Architecture, specials: SpecialTokens, *, int8: bool
) -> None:
    """Check the graph of a decoder step, as `check_encoder` checks the encoder."""
    _check_graph(content, embedding, location, sizes, specials, "decoder", plan_decoder, int8=int8)


def _check_graph(
    content: bytes,
    embedding: NDArray[Any],
    location: str,
    architecture: Architecture,
    specials: SpecialTokens,
    stack: str,
    make_plan: Callable[[Sizes], Plan],
    *,
    int8: bool,
) -> None:
    graph = parse_graph(content)
    plan = make_plan(
        Sizes(
            width=architecture.d_model,
            heads=architecture.attention_heads,
            layers=architecture.encoder_layers,
            decoder_layers=architecture.decoder_layers,
            feed_forward=_feed_forward(graph, stack, int8=int8),
            positions=architecture.max_positions,
            vocabulary=architecture.vocab_size,
            watched=(specials.eos, specials.reject),
            int8=int8,
            scaled="embed_scale" in graph.tensors,
        )
    )
    if graph.ir_version != IR_VERSION or graph.operator_sets != OPERATOR_SETS:
        raise BundleError("its versions of the ONNX format and of its operators are not those of the bundle format")
    _check_equal("input", graph.inputs, plan.inputs)
    _check_equal("output", graph.outputs, plan.outputs)
    _check_equal("node", graph.nodes, plan.nodes)
    for name in plan.constants.keys() - graph.tensors.keys():
        raise BundleError(f"it lacks the constant {name}")
    for name in graph.tensors.keys() - plan.constants.keys():
        raise BundleError(f"it has a constant {reprlib.repr(name)} that the model does not need")
    for name, expected in plan.constants.items():
        tensor = graph.tensors[name]
        _check_form(tensor, expected)
        if name == EXTERNAL:
            entries = (("location", location), ("offset", "0"), ("length", str(embedding.nbytes)))
            if tensor.content is not None or tensor.external != entries:
                raise BundleError(f"its constant {name} must be the whole of {location}")
            _check_content(name, embedding, expected, architecture.vocab_size)
            continue
        dtype = np.dtype(DTYPES[expected.data_type])
        if tensor.content is None or len(tensor.content) != math.prod(expected.shape) * dtype.itemsize:
            raise BundleError(f"its constant {name} does not have as many bytes as its shape needs")
        _check_content(name, np.frombuffer(tensor.content, dtype), expected, architecture.vocab_size)


def _feed_forward(graph: GraphFile, stack: str, *, int8: bool) -> int:
    """Return the inner width of the feed-forward layers: the one size that only the graphs state."""
    name = f"model.{stack}.layers.0.fc1.bias"
    if name not in graph.tensors:
        raise BundleError(f"it lacks the constant {name}")
    shape = graph.tensors[name].shape
    if len(shape) != 1 or not 1 <= shape[0] <= MOST_FEED_FORWARD or (int8 and shape[0] % INT8_GROUP):
        raise BundleError(f"its constant {name} has a shape that no feed-forward layer has")
    return shape[0]


def _check_equal(kind: str, found: Sequence[Any], expected: Sequence[Any]) -> None:
    if len(found) != len(expected):
        raise BundleError(f"it has {len(found)} {kind}s and a model of this architecture has {len(expected)}")
    for index, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        if mine != theirs:
            name = theirs.outputs[0] if kind == "node" else theirs.name
            raise BundleError(f"its {kind} {index} is not the {name} of a model of this architecture")


def _check_form(tensor: Tensor, expected: Constant) -> None:
    if tensor.data_type != expected.data_type:
        raise BundleError(
            f"its constant {tensor.name} has the data type {tensor.data_type} instead of {expected.data_type}"
        )
    if tensor.shape != expected.shape:
        raise BundleError(
            f"its constant {tensor.name} has the shape {reprlib.repr(list(tensor.shape))} "
            f"instead of {list(expected.shape)}"
        )


def _check_content(name: str, values: NDArray[Any], expected: Constant, vocabulary: int) -> None:
    if expected.values is not None and not np.array_equal(values, np.array(expected.values)):
        raise BundleError(f"its constant {name} does not have the values that a model of this architecture has")
    if expected.content == "bias of the vocabulary":
        if not np.all(np.isneginf(values[vocabulary:])):
            raise BundleError(f"its constant {name} must be minus infinity past the vocabulary")
        values = values[:vocabulary]
    if expected.content != "any" and values.dtype == np.float32 and not np.isfinite(values).all():
        raise BundleError(f"its constant {name} holds what is not a finite number")
    if expected.content == "positive" and not (values > 0).all():
        raise BundleError(f"its constant {name} must be positive")
