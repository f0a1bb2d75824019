"""The two ONNX graphs of a BART checkpoint.

Dimensions: R requests, S source tokens, B beams, P tokens already in the self-attention cache, K candidates asked for.

encoder         input_ids [R, S], attention_mask [R, S]
                -> cross_key_i, cross_value_i [R, heads, S, head_dim] of every decoder layer i

decoder_step    input_ids [R, B], beam_indices [R, B], position [1], beam_scores [R, B], num_candidates [1],
                attention_mask [R, S], cross_key_i, cross_value_i, past_key_i, past_value_i [R, B', heads, P, head_dim]
                -> sums, tokens, beams [R, K], reject_logprobs [R, B],
                   present_key_i, present_value_i [R, B, heads, P + 1, head_dim]

A step continues beam `beam_indices[r, b]` of the past in row b: the cache is reordered in the graph, and B may differ
from the past's B'. The first step has one row a request and an empty past. The cross-attention keys and values are one
per request: beams lie on the query axis. The graph ends in the K best continuations over all beams of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import TensorProto

from generation.bundle import Architecture
from generation.session import cross_names, past_names, present_names
from model_export.graph_builder import MICROSOFT, GraphBuilder, Shape
from model_export.layers import Array, Embedding, Layers

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
POSITION_OFFSET = 2  # BartLearnedPositionalEmbedding keeps two unused rows before position 0


def build_encoder(
    path: Path, weights: Mapping[str, Array], sizes: Architecture, embedding: Embedding, scale: float, precision: str
) -> None:
    """Write the encoder graph. `scale` multiplies the token embedding (config.scale_embedding)."""
    graph = GraphBuilder("encoder")
    layers = Layers(graph, weights, precision, sizes.attention_heads)
    ids = graph.input("input_ids", INT64, ["R", "S"])
    mask = graph.input("attention_mask", INT32, ["R", "S"])

    table = weights["model.encoder.embed_positions.weight"][POSITION_OFFSET:]
    length = graph.op("Shape", ids, start=1, end=2)
    positions = graph.op("Slice", graph.constant("positions", table), graph.ints(0), length)  # [S, d_model]
    x = layers.embed(ids, positions, embedding, scale, "model.encoder")  # [R, S, d_model]
    for index in range(sizes.encoder_layers):
        prefix = f"model.encoder.layers.{index}"
        attention = f"{prefix}.self_attn"
        fused = layers.linear(x, *(f"{attention}.{part}_proj" for part in "qkv"))  # [R, S, 3 * d_model]
        query, key, value = graph.multi("Split", fused, outputs=3, axis=-1, num_outputs=3)
        context = layers.attention(query, key, value, mask)
        x = layers.add_norm(layers.linear(context, f"{attention}.out_proj"), x, f"{prefix}.self_attn_layer_norm")
        x = layers.feed_forward(x, prefix)

    decoder = [f"model.decoder.layers.{index}.encoder_attn" for index in range(sizes.decoder_layers)]
    fused = layers.linear(x, *(f"{layer}.{part}_proj" for layer in decoder for part in "kv"))
    parts = 2 * sizes.decoder_layers
    # [R, S, parts * d_model] -> [R, S, parts * heads, head_dim] -> [R, parts * heads, S, head_dim]
    by_head = graph.op("Reshape", fused, graph.ints(0, 0, parts * sizes.attention_heads, sizes.head_dim))
    by_head = graph.op("Transpose", by_head, perm=[0, 2, 1, 3])
    values = graph.multi("Split", by_head, outputs=parts, axis=1, num_outputs=parts)
    for name, made in zip(cross_names(sizes.decoder_layers), values, strict=True):
        graph.output(made, name, FLOAT, ["R", sizes.attention_heads, "S", sizes.head_dim])
    graph.save(path)


def build_decoder_step(
    path: Path,
    weights: Mapping[str, Array],
    sizes: Architecture,
    embedding: Embedding,
    scale: float,
    precision: str,
    reject_token_id: int,
) -> None:
    """Write the graph of one decoder step for all beams, from the last tokens to the next candidates."""
    graph = GraphBuilder("decoder_step")
    layers = Layers(graph, weights, precision, sizes.attention_heads)
    ids = graph.input("input_ids", INT64, ["R", "B"])
    beam_indices = graph.input("beam_indices", INT64, ["R", "B"])
    position = graph.input("position", INT64, [1])
    scores = graph.input("beam_scores", FLOAT, ["R", "B"])
    wanted = graph.input("num_candidates", INT64, [1])
    mask = graph.input("attention_mask", INT32, ["R", "S"])
    cross_shape: Shape = ["R", sizes.attention_heads, "S", sizes.head_dim]
    cross = [graph.input(name, FLOAT, cross_shape) for name in cross_names(sizes.decoder_layers)]
    past_shape: Shape = ["R", "past_B", sizes.attention_heads, "P", sizes.head_dim]
    past = [graph.input(name, FLOAT, past_shape) for name in past_names(sizes.decoder_layers)]

    table = weights["model.decoder.embed_positions.weight"][POSITION_OFFSET:]
    row = graph.op("Gather", graph.constant("positions", table), position)  # [1, d_model]
    x = layers.embed(ids, row, embedding, scale, "model.decoder")  # [R, B, d_model]
    continued = graph.op("Unsqueeze", beam_indices, graph.ints(2))  # [R, B, 1]
    presents = []
    for index in range(sizes.decoder_layers):
        prefix = f"model.decoder.layers.{index}"
        context, key, value = _self_attention(graph, layers, sizes, x, prefix, past[2 * index :][:2], continued)
        presents += [key, value]
        x = layers.add_norm(layers.linear(context, f"{prefix}.self_attn.out_proj"), x, f"{prefix}.self_attn_layer_norm")
        query = layers.linear(x, f"{prefix}.encoder_attn.q_proj")  # [R, B, d_model]: beams are the query axis
        context = layers.attention(query, cross[2 * index], cross[2 * index + 1], mask)
        x = layers.add_norm(
            layers.linear(context, f"{prefix}.encoder_attn.out_proj"), x, f"{prefix}.encoder_attn_layer_norm"
        )
        x = layers.feed_forward(x, prefix)

    logits = layers.lm_head(x, embedding, weights["final_logits_bias"].reshape(-1))
    logprobs = graph.op("LogSoftmax", logits, axis=-1)  # [R, B, vocab_size]
    reject = graph.op("Gather", logprobs, graph.constant("reject", np.array(reject_token_id, np.int64)), axis=2)
    graph.output(reject, "reject_logprobs", FLOAT, ["R", "B"])
    totals = graph.op("Add", logprobs, graph.op("Unsqueeze", scores, graph.ints(2)))
    flat = graph.op("Reshape", totals, graph.ints(0, -1))  # [R, B * vocab_size]
    sums, best = graph.multi("TopK", flat, wanted, outputs=2, axis=1)  # [R, K]
    vocabulary = graph.constant("vocab_size", np.array(sizes.vocab_size, np.int64))
    graph.output(sums, "sums", FLOAT, ["R", "K"])
    graph.output(graph.op("Mod", best, vocabulary), "tokens", INT64, ["R", "K"])
    graph.output(graph.op("Div", best, vocabulary), "beams", INT64, ["R", "K"])
    present_shape: Shape = ["R", "B", sizes.attention_heads, "P_plus_1", sizes.head_dim]
    for name, made in zip(present_names(sizes.decoder_layers), presents, strict=True):
        graph.output(made, name, FLOAT, present_shape)
    graph.save(path)


def _self_attention(
    graph: GraphBuilder, layers: Layers, sizes: Architecture, x: str, prefix: str, past: list[str], continued: str
) -> tuple[str, str, str]:
    """Attend from one new token per beam to its own past.

    Returns the context [R, B, d_model], and the keys and values with the new token's: [R, B, heads, P + 1, head_dim].
    """
    heads, head_dim = sizes.attention_heads, sizes.head_dim
    fused = layers.linear(x, *(f"{prefix}.self_attn.{part}_proj" for part in "qkv"))  # [R, B, 3 * d_model]
    by_head = graph.op("Reshape", fused, graph.ints(0, 0, 3 * heads, 1, head_dim))
    query, *new = graph.multi("Split", by_head, outputs=3, axis=2, num_outputs=3)  # [R, B, heads, 1, head_dim]
    key, value = (
        graph.op("Concat", graph.op("GatherND", old, continued, batch_dims=1), made, axis=3)
        for old, made in zip(past, new, strict=True)
    )
    logits = graph.op("FusedMatMul", query, key, domain=MICROSOFT, transB=1, alpha=head_dim**-0.5)
    context = graph.op("MatMul", graph.op("Softmax", logits, axis=-1), value)  # [R, B, heads, 1, head_dim]
    return graph.op("Reshape", context, graph.ints(0, 0, sizes.d_model)), key, value
