"""The encoder graph of a BART checkpoint: from one source to the keys and values that the decoder reads.

    input_ids [1, S]  ->  cross_key_i, cross_value_i [1, heads, S, head_dim] of every decoder layer i

A source is encoded alone. So it needs no padding and no mask, its activations are quantised by their own range, and its
result does not depend on other requests. Batches would not be faster: one source is enough work for the int8 kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import TensorProto

from generation.bundle import Architecture
from generation.tensor_names import cross_names
from model_export.graph_builder import GraphBuilder
from model_export.layers import POSITION_OFFSET, Array, Embedding, Layers

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def build_encoder(
    path: Path, weights: Mapping[str, Array], sizes: Architecture, embedding: Embedding, scale: float, precision: str
) -> None:
    """Write the encoder graph.

    Args:
        path: of the file.
        weights: of the checkpoint, by name.
        sizes: of the model.
        embedding: shared with the decoder.
        scale: the factor on the token embedding (config.scale_embedding).
        precision: "fp32" or "int8".
    """
    graph = GraphBuilder("encoder")
    layers = Layers(graph, weights, precision, sizes.attention_heads)
    ids = graph.input("input_ids", INT64, [1, "S"])

    table = weights["model.encoder.embed_positions.weight"][POSITION_OFFSET:]
    length = graph.op("Shape", ids, start=1, end=2)
    positions = graph.op("Slice", graph.constant("positions", table), graph.ints(0), length)  # [S, d_model]
    x = layers.embed(ids, positions, embedding, scale, "model.encoder")  # [1, S, d_model]
    for index in range(sizes.encoder_layers):
        prefix = f"model.encoder.layers.{index}"
        context = layers.self_attention(x, f"{prefix}.self_attn")
        x = layers.add_norm(layers.linear(context, f"{prefix}.self_attn.out_proj"), x, f"{prefix}.self_attn_layer_norm")
        x = layers.feed_forward(x, prefix)

    decoder = [f"model.decoder.layers.{index}.encoder_attn" for index in range(sizes.decoder_layers)]
    fused = layers.linear(x, *(f"{layer}.{part}_proj" for layer in decoder for part in "kv"))
    parts = 2 * sizes.decoder_layers
    # [1, S, parts * d_model] -> [1, S, parts * heads, head_dim] -> [1, parts * heads, S, head_dim]
    by_head = graph.op("Reshape", fused, graph.ints(0, 0, parts * sizes.attention_heads, sizes.head_dim))
    by_head = graph.op("Transpose", by_head, perm=[0, 2, 1, 3])
    values = graph.multi("Split", by_head, outputs=parts, axis=1, num_outputs=parts)
    for name, made in zip(cross_names(sizes.decoder_layers), values, strict=True):
        graph.output(made, name, FLOAT, [1, sizes.attention_heads, "S", sizes.head_dim])
    graph.save(path)
