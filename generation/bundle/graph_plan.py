"""A description of an ONNX graph, put together node by node: what a graph file is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from generation.bundle.graph_file import FLOAT, INT8, INT64, UINT8, Node, Value
from generation.bundle.vocabulary_blocks import whole_blocks

MICROSOFT = "com.microsoft"
IR_VERSION = 9
OPERATOR_SETS = (("", 18), (MICROSOFT, 1))
EXTERNAL = "shared.weight"  # the one constant that lies in embeddings.bin
LAYER_NORM_EPSILON = float(np.float32(1e-5))

# What may be in a constant of floats. "bias of the vocabulary": finite, and minus infinity past the vocabulary.
Content = Literal["any", "finite", "positive", "bias of the vocabulary"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes that decide a graph. feed_forward: inner width of the feed-forward layers of this graph's stack."""

    width: int
    heads: int
    layers: int
    decoder_layers: int
    feed_forward: int
    positions: int
    vocabulary: int
    watched: tuple[int, int]  # ids of the end and of [REJECT]
    int8: bool
    scaled: bool  # fp32 only: token embeddings are multiplied by a constant

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    @property
    def rows(self) -> int:
        """Rows of the token embedding."""
        return whole_blocks(self.vocabulary)


@dataclass(frozen=True, slots=True)
class Constant:
    """What a constant must be. values: the only content that it may have, for integers."""

    data_type: int
    shape: tuple[int, ...]
    content: Content = "any"
    values: tuple[int, ...] | None = None


@dataclass(slots=True)
class Plan:
    """A graph that is put together node by node, by the rules for names of `model_export.graph_builder`."""

    sizes: Sizes
    nodes: list[Node] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)

    def input(self, name: str, data_type: int, *shape: int | str) -> str:
        """Add a graph input."""
        self.inputs.append(Value(name, data_type, shape))
        return name

    def output(self, name: str, data_type: int, *shape: int | str) -> None:
        """Add a graph output."""
        self.outputs.append(Value(name, data_type, shape))

    def floats(self, name: str, *shape: int, content: Content = "finite") -> str:
        """Add a constant of floats."""
        self.constants[name] = Constant(FLOAT, shape, content)
        return name

    def ints(self, *values: int, name: str = "", scalar: bool = False) -> str:
        """Add a constant of these integers."""
        name = name or "ints_" + "_".join(map(str, values)).replace("-", "m")
        self.constants[name] = Constant(INT64, () if scalar else (len(values),), values=values)
        return name

    def op(
        self,
        kind: str,
        *inputs: str,
        domain: str = "",
        made: Sequence[str] = (),
        outputs: int = 1,
        **attributes: float | int | tuple[int, ...],
    ) -> tuple[str, ...]:
        """Add a node and return the names of what it makes. `made`: those names where they are graph outputs."""
        names = tuple(made) or tuple(f"{kind}_{len(self.nodes)}:{index}" for index in range(outputs))
        self.nodes.append(Node(kind, domain, inputs, names, tuple(sorted(attributes.items()))))
        return names

    def linear(self, x: str, label: str, outputs: int, inputs: int, range_of: str = "") -> str:
        """Add a projection. `range_of`: for int8, the projection that a constant range is named after, if any."""
        weight, bias = f"{label}.weight", f"{label}.bias"
        if not self.sizes.int8:
            product = self.op("MatMul", x, self.floats(weight, inputs, outputs))[0]
            return self.op("Add", product, self.floats(bias, outputs))[0]
        self.constants[weight] = Constant(INT8, (inputs, outputs))
        scale = self.floats(f"{label}.scale", outputs, content="positive")
        return self._product(x, weight, scale, self.floats(bias, outputs), range_of)

    def _product(self, x: str, weight: str, scale: str, bias: str, range_of: str) -> str:
        if not range_of:
            return self.op("DynamicQuantizeMatMul", x, weight, scale, "", bias, domain=MICROSOFT)[0]
        step = self.floats(f"{range_of}.input_scale", content="positive")
        zero = f"{range_of}.input_zero_point"
        self.constants[zero] = Constant(UINT8, ())
        quantized = self.op("QuantizeLinear", x, step, zero)[0]
        return self.op(
            "MatMulIntegerToFloat", quantized, weight, step, scale, zero, "", bias, domain=MICROSOFT
        )[0]  # fmt: skip

    def norm(self, x: str, name: str) -> str:
        """Add a layer norm."""
        width = self.sizes.width
        scale, bias = self.floats(f"{name}.weight", width), self.floats(f"{name}.bias", width)
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)[0]

    def add_norm(self, x: str, residual: str, name: str) -> str:
        """Add a residual and a layer norm."""
        return self.norm(self.op("Add", x, residual)[0], name)

    def embed(self, ids: str, positions: str, prefix: str) -> str:
        """Add the embedding of tokens and positions."""
        sizes = self.sizes
        self.constants[EXTERNAL] = Constant(INT8 if sizes.int8 else FLOAT, (sizes.rows, sizes.width), "finite")
        x = self.op("Gather", EXTERNAL, ids)[0]
        if sizes.int8:
            scale = self.floats("shared.embed_scale", sizes.rows, 1)
            cast = self.op("Cast", x, to=FLOAT)[0]
            x = self.op("Mul", cast, self.op("Gather", scale, ids)[0])[0]
        elif sizes.scaled:
            x = self.op("Mul", x, self.floats("embed_scale"))[0]
        return self.norm(self.op("Add", x, positions)[0], f"{prefix}.layernorm_embedding")

    def feed_forward(self, x: str, prefix: str, *, ranges: bool) -> str:
        """Add a feed-forward layer with its residual and norm. `ranges`: its inputs have constant ranges."""
        width, wide = self.sizes.width, self.sizes.feed_forward
        first, second = f"{prefix}.fc1", f"{prefix}.fc2"
        hidden = self.linear(x, first, wide, width, first if ranges else "")
        hidden = self.op("Gelu", hidden, domain=MICROSOFT)[0]
        made = self.linear(hidden, second, width, wide, second if ranges else "")
        return self.add_norm(made, x, f"{prefix}.final_layer_norm")

    def attention(self, *inputs: str) -> str:
        """Add attention of a query over keys and values, with a mask or a bias."""
        return self.op("MultiHeadAttention", *inputs, domain=MICROSOFT, num_heads=self.sizes.heads)[0]

    def head(self, x: str) -> str:
        """Add the projection to the vocabulary, by the token embedding."""
        rows = self.sizes.rows
        weight = self.op("Transpose", EXTERNAL, perm=(1, 0))[0]
        bias = self.floats("final_logits_bias", rows, content="bias of the vocabulary")
        if not self.sizes.int8:
            return self.op("Add", self.op("MatMul", x, weight)[0], bias)[0]
        return self._product(x, weight, self.floats("shared.scale", rows, content="positive"), bias, "lm_head")
