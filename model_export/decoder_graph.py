"""The decoder-step graph of a BART checkpoint: from the last token of every beam to the next candidates.

Dimensions: R requests, B beams, C positions of the cache, T = C * B keys in it, S source tokens of the batch's length
class, K candidates returned, V the vocabulary, padded to whole blocks.

    input_ids [R, B], positions [R], beam_scores [R, B], num_candidates [1]
    attention_mask [R, S], cross_key_i, cross_value_i [R, heads, S, head_dim]
    self_bias [R, 1, B, T], cache_indices [R, heads, 3], past_key_i, past_value_i [R, heads, C, B, head_dim]
    -> sums, tokens, beams [R, K], special_logprobs [R, B, 2], logprobs [R, B, V]
       present_key_i, present_value_i [R, heads, C, B, head_dim]

Each request has its own position. The keys and values of a step are written to the cache at cache_indices (request,
head, position) and never move. self_bias selects the keys that belong to the past of a beam: 0 for those, a large
negative number for all others. When `past` and `present` are the same memory, the cache is updated in place. The C, B
and S of a request do not depend on the other requests of the batch, so each of its sums has the same terms in the same
order.

Cross-attention has one set of keys and values for each request: beams are on the query axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import TensorProto

from generation.bundle import Architecture, SpecialTokens
from generation.bundle.vocabulary_blocks import block_width
from generation.tensor_names import cross_names, past_names, present_names
from model_export.graph_builder import GraphBuilder
from model_export.layers import POSITION_OFFSET, Array, Embedding, Layers
from model_export.quantize import ActivationRange

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64


def build_decoder_step(
    path: Path,
    weights: Mapping[str, Array],
    sizes: Architecture,
    specials: SpecialTokens,
    embedding: Embedding,
    scale: float,
    precision: str,
    ranges: Mapping[str, ActivationRange] | None,
) -> None:
    """Write the graph of one decoder step.

    Args:
        path: of the file.
        weights: of the checkpoint, by name.
        sizes: of the model.
        specials: their ids; the log-probabilities of the end and of [REJECT] are outputs.
        embedding: shared with the encoder.
        scale: the factor on the token embedding (config.scale_embedding).
        precision: "fp32" or "int8".
        ranges: for int8, the range of the input of each projection, by the name of the projection.
    """
    graph = GraphBuilder("decoder_step")
    layers = Layers(graph, weights, precision, sizes.attention_heads, ranges)
    ids = graph.input("input_ids", INT64, ["R", "B"])
    positions = graph.input("positions", INT64, ["R"])
    scores = graph.input("beam_scores", FLOAT, ["R", "B"])
    wanted = graph.input("num_candidates", INT64, [1])
    mask = graph.input("attention_mask", INT32, ["R", "S"])
    self_bias = graph.input("self_bias", FLOAT, ["R", 1, "B", "T"])
    written = graph.input("cache_indices", INT64, ["R", sizes.attention_heads, 3])
    heads, head_dim = sizes.attention_heads, sizes.head_dim
    cross = [graph.input(name, FLOAT, ["R", heads, "S", head_dim]) for name in cross_names(sizes.decoder_layers)]
    past = [graph.input(name, FLOAT, ["R", heads, "C", "B", head_dim]) for name in past_names(sizes.decoder_layers)]
    present = present_names(sizes.decoder_layers)

    table = weights["model.decoder.embed_positions.weight"][POSITION_OFFSET:]
    row = graph.op("Gather", graph.constant("position_table", table), positions)  # [R, d_model]
    x = layers.embed(ids, graph.op("Unsqueeze", row, graph.ints(1)), embedding, scale, "model.decoder")  # [R, B, d]
    for index in range(sizes.decoder_layers):
        prefix = f"model.decoder.layers.{index}"
        fused = layers.linear(x, *(f"{prefix}.self_attn.{part}_proj" for part in "qkv"))  # [R, B, 3 * d_model]
        query, *new = graph.multi("Split", fused, outputs=3, axis=2, num_outputs=3)
        cache = []
        for made, name, old in zip(new, present[2 * index :], past[2 * index :], strict=False):
            by_head = graph.op("Reshape", made, graph.ints(0, 0, heads, head_dim))
            by_head = graph.op("Transpose", by_head, perm=[0, 2, 1, 3])  # [R, heads, B, head_dim]
            updated = graph.op("ScatterND", old, written, by_head)
            graph.output(updated, name, FLOAT, ["R", heads, "C", "B", head_dim])
            cache.append(graph.op("Reshape", name, graph.ints(0, 0, -1, head_dim)))  # [R, heads, T, head_dim]
        context = layers.attention(query, cache[0], cache[1], bias=self_bias)
        x = layers.add_norm(layers.linear(context, f"{prefix}.self_attn.out_proj"), x, f"{prefix}.self_attn_layer_norm")
        query = layers.linear(x, f"{prefix}.encoder_attn.q_proj")
        context = layers.attention(query, cross[2 * index], cross[2 * index + 1], mask=mask)
        x = layers.add_norm(
            layers.linear(context, f"{prefix}.encoder_attn.out_proj"), x, f"{prefix}.encoder_attn_layer_norm"
        )
        x = layers.feed_forward(x, prefix)

    rows = len(embedding.table)  # V
    bias = np.full(rows, -np.inf, np.float32)  # padding rows are no tokens
    bias[: sizes.vocab_size] = weights["final_logits_bias"].reshape(-1)
    logprobs = graph.op("LogSoftmax", layers.lm_head(x, embedding, bias), axis=-1)  # [R, B, V]
    graph.output(logprobs, "logprobs", FLOAT, ["R", "B", rows])
    watched = graph.constant("watched_tokens", np.array([specials.eos, specials.reject], np.int64))
    graph.output(graph.op("Gather", "logprobs", watched, axis=2), "special_logprobs", FLOAT, ["R", "B", 2])
    sums, flat = best_continuations(graph, "logprobs", scores, wanted, rows)
    vocabulary = graph.constant("vocab_rows", np.array(rows, np.int64))
    graph.output(sums, "sums", FLOAT, ["R", "K"])
    graph.output(graph.op("Mod", flat, vocabulary), "tokens", INT64, ["R", "K"])
    graph.output(graph.op("Div", flat, vocabulary), "beams", INT64, ["R", "K"])
    graph.save(path)


def best_continuations(graph: GraphBuilder, logprobs: str, scores: str, wanted: str, rows: int) -> tuple[str, str]:
    """Find the K largest of scores [R, B] + logprobs [R, B, rows] over all beams of a request.

    Blocks of the vocabulary are ranked by their largest entry; the K best entries are in the K best blocks. So only a
    small part is sorted, and sums are computed for K blocks only.

    Returns:
        The sums [R, K], falling, and beam * rows + token of each [R, K].
    """
    block = block_width(rows)
    if block == 1:
        totals = graph.op("Add", logprobs, graph.op("Unsqueeze", scores, graph.ints(2)))
        sums, flat = graph.multi("TopK", graph.op("Reshape", totals, graph.ints(0, -1)), wanted, outputs=2, axis=1)
        return sums, flat
    count = rows // block
    in_blocks = graph.op("Reshape", logprobs, graph.ints(0, 0, count, block))
    maxima = graph.op("ReduceMax", in_blocks, graph.ints(3), keepdims=0)  # [R, B, count]
    maxima = graph.op("Add", maxima, graph.op("Unsqueeze", scores, graph.ints(2)))
    maxima = graph.op("Reshape", maxima, graph.ints(0, -1))  # [R, B * count]
    _, best = graph.multi("TopK", maxima, wanted, outputs=2, axis=1)  # [R, K]: beam * count + block
    blocks = graph.op("Reshape", logprobs, graph.ints(0, -1, block))  # [R, B * count, block]
    members = graph.op("GatherND", blocks, graph.op("Unsqueeze", best, graph.ints(2)), batch_dims=1)  # [R, K, block]
    beam = graph.op("Div", best, graph.constant("block_count", np.array(count, np.int64)))
    added = graph.op("Unsqueeze", graph.op("GatherElements", scores, beam, axis=1), graph.ints(2))  # [R, K, 1]
    totals = graph.op("Reshape", graph.op("Add", members, added), graph.ints(0, -1))  # [R, K * block]
    sums, place = graph.multi("TopK", totals, wanted, outputs=2, axis=1)  # [R, K]
    width = graph.constant("block_width", np.array(block, np.int64))
    first = graph.op("Mul", graph.op("GatherElements", best, graph.op("Div", place, width), axis=1), width)
    return sums, graph.op("Add", first, graph.op("Mod", place, width))
