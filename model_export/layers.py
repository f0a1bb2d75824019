"""BART's layers as ONNX nodes: post-norm, learned positions, in fp32 or int8 by one switch.

The operators were chosen by measurements on ORT 1.31 (docs/adr/0011, 0020): both int8 products add the bias in their
epilogue; Add followed by LayerNormalization is nine times faster than SkipLayerNormalization on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from model_export.graph_builder import MICROSOFT, GraphBuilder
from model_export.quantize import ActivationRange, quantize_rows

Array = NDArray[np.float32]
POSITION_OFFSET = 2  # BartLearnedPositionalEmbedding keeps two unused rows before position 0
LM_HEAD = "lm_head"
LAYER_NORM_EPSILON = 1e-5  # the default of torch.nn.LayerNorm, which BART uses


@dataclass(frozen=True, slots=True)
class Embedding:
    """The token embedding that encoder, decoder and output projection share.

    Attributes:
        table: [rows, d_model], fp32 or int8; rows after the vocabulary are zeros.
        scales: [rows] for int8, None for fp32.
        location: the file name in the bundle.
    """

    table: NDArray[np.float32] | NDArray[np.int8]
    scales: Array | None
    location: str

    @classmethod
    def make(cls, weight: Array, precision: str, location: str, rows: int) -> Embedding:
        """Return the embedding of a checkpoint, for int8 quantised by token, padded with zeros to `rows`."""
        weight = np.concatenate([weight, np.zeros((rows - len(weight), weight.shape[1]), np.float32)])
        if precision == "fp32":
            return cls(np.ascontiguousarray(weight), None, location)
        values, scales = quantize_rows(weight)
        return cls(values, scales, location)


def product_label(names: Sequence[str]) -> str:
    """Return the name of the constants of a product that has these projections side by side."""
    return names[0] if len(names) == 1 else f"{names[0]}+{len(names) - 1}"


class Layers:
    """Adds the layers of one stack to a graph, taking weights by their names in the checkpoint."""

    def __init__(
        self,
        graph: GraphBuilder,
        weights: Mapping[str, Array],
        precision: str,
        heads: int,
        ranges: Mapping[str, ActivationRange] | None = None,
    ) -> None:
        """Collect what layers are made of.

        Args:
            graph: what is added to.
            weights: of the checkpoint, by name.
            precision: "fp32" or "int8".
            heads: of attention.
            ranges: for int8, what the input of each projection spans. With them, an activation is quantised by
                constants, so that no row of a batch touches another; without, by the range of the whole tensor.
        """
        self._graph = graph
        self._weights = weights
        self._quantized = precision == "int8"
        self._ranges = ranges
        self.heads = heads

    def linear(self, x: str, *names: str) -> str:
        """Project x by one or several layers at once: their outputs lie side by side in the last dimension."""
        weight = np.concatenate([self._weights[f"{name}.weight"] for name in names])  # [out, in]
        bias = np.concatenate([self._weights[f"{name}.bias"] for name in names])  # [out]
        label = product_label(names)
        graph = self._graph
        if not self._quantized:
            product = graph.op("MatMul", x, graph.constant(f"{label}.weight", weight.T))
            return graph.op("Add", product, graph.constant(f"{label}.bias", bias))
        values, scales = quantize_rows(weight)
        return self._product(
            x, graph.constant(f"{label}.weight", values.T), graph.constant(f"{label}.scale", scales),
            graph.constant(f"{label}.bias", bias), names[0],
        )  # fmt: skip

    def _product(self, x: str, weight: str, scale: str, bias: str, name: str) -> str:
        """Return x @ weight + bias in int8; `name` is the projection whose measured range x has."""
        graph = self._graph
        if self._ranges is None:
            return graph.op("DynamicQuantizeMatMul", x, weight, scale, "", bias, domain=MICROSOFT)
        step = graph.constant(f"{name}.input_scale", np.array(self._ranges[name].scale, np.float32))
        zero = graph.constant(f"{name}.input_zero_point", np.array(self._ranges[name].zero_point, np.uint8))
        quantized = graph.op("QuantizeLinear", x, step, zero)
        # The weights' zero points are left out: they are symmetric.
        return graph.op("MatMulIntegerToFloat", quantized, weight, step, scale, zero, "", bias, domain=MICROSOFT)

    def layer_norm(self, x: str, name: str) -> str:
        """Normalise the last dimension."""
        graph = self._graph
        scale = graph.constant(f"{name}.weight", self._weights[f"{name}.weight"])
        bias = graph.constant(f"{name}.bias", self._weights[f"{name}.bias"])
        return graph.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def add_norm(self, x: str, residual: str, name: str) -> str:
        """Post-norm: LayerNorm(x + residual)."""
        return self.layer_norm(self._graph.op("Add", x, residual), name)

    def embed(self, ids: str, positions: str, embedding: Embedding, scale: float, prefix: str) -> str:
        """Sum of token and position embeddings, normalised. `positions` broadcasts over [..., d_model]."""
        graph = self._graph
        table = graph.external_constant("shared.weight", embedding.table, embedding.location)
        x = graph.op("Gather", table, ids)
        if embedding.scales is not None:
            per_token = graph.constant("shared.embed_scale", embedding.scales[:, None] * np.float32(scale))
            x = graph.op("Mul", graph.op("Cast", x, to=TensorProto.FLOAT), graph.op("Gather", per_token, ids))
        elif scale != 1.0:
            x = graph.op("Mul", x, graph.constant("embed_scale", np.array(scale, np.float32)))
        return self.layer_norm(graph.op("Add", x, positions), f"{prefix}.layernorm_embedding")

    def lm_head(self, x: str, embedding: Embedding, bias: Array) -> str:
        """Project to the vocabulary with the embedding itself; ORT transposes it once, when the graph is loaded."""
        graph = self._graph
        table = graph.external_constant("shared.weight", embedding.table, embedding.location)
        weight = graph.op("Transpose", table, perm=[1, 0])
        offset = graph.constant("final_logits_bias", bias)
        if embedding.scales is None:
            return graph.op("Add", graph.op("MatMul", x, weight), offset)
        return self._product(x, weight, graph.constant("shared.scale", embedding.scales), offset, LM_HEAD)

    def feed_forward(self, x: str, prefix: str) -> str:
        """fc2(gelu(fc1(x))), added and normalised."""
        hidden = self._graph.op("Gelu", self.linear(x, f"{prefix}.fc1"), domain=MICROSOFT)
        return self.add_norm(self.linear(hidden, f"{prefix}.fc2"), x, f"{prefix}.final_layer_norm")

    def self_attention(self, x: str, name: str) -> str:
        """Attention of x [1, n, d_model] over itself, before the output projection.

        For int8, one operator projects into heads and attends, which spares splitting and transposing.
        """
        graph = self._graph
        names = [f"{name}.{part}_proj" for part in "qkv"]
        if not self._quantized:
            fused = self.linear(x, *names)  # [1, n, 3 * d_model]
            query, key, value = graph.multi("Split", fused, outputs=3, axis=-1, num_outputs=3)
            return self.attention(query, key, value)
        values, scales = quantize_rows(np.concatenate([self._weights[f"{part}.weight"] for part in names]))
        bias = np.concatenate([self._weights[f"{part}.bias"] for part in names])
        quantized, step, zero = graph.multi("DynamicQuantizeLinear", x, outputs=3)
        return graph.op(
            "QAttention",
            quantized,
            graph.constant(f"{name}.qkv.weight", values.T),
            graph.constant(f"{name}.qkv.bias", bias),
            step,
            graph.constant(f"{name}.qkv.scale", scales),
            "",  # no mask: a source is encoded alone
            zero,
            graph.constant(f"{name}.qkv.zero_point", np.zeros(len(scales), np.int8)),
            domain=MICROSOFT,
            num_heads=self.heads,
        )

    def attention(self, query: str, key: str, value: str, *, mask: str = "", bias: str = "") -> str:
        """Attention of query [R, n, d_model] over key and value, which are like it or already in heads.

        Args:
            query: [R, n, d_model].
            key: [R, m, d_model], or [R, heads, m, head_dim].
            value: as key.
            mask: [R, m], 0 where a key is padding.
            bias: [R, 1, n, m], added to the scores of all heads.
        """
        inputs = [query, key, value, "", mask, bias]
        while not inputs[-1]:
            inputs.pop()
        return self._graph.op("MultiHeadAttention", *inputs, domain=MICROSOFT, num_heads=self.heads)
