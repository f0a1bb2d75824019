"""What the two graphs of a bundle must be: every node, attribute, input, output and constant.

`model_export` writes the graphs (its `encoder_graph.py` and `decoder_graph.py` explain them); this module states what
it writes, as a function of the architecture. Serving compares a bundle's graphs with it before it runs them, so that
ONNX Runtime and the native kernels only ever see shapes, operators and integers that they were tested with. An export
loads the bundle that it wrote, so that a difference between the two is found at once.
"""

from __future__ import annotations

from generation.bundle.graph_file import FLOAT, INT8, INT32, INT64
from generation.bundle.graph_plan import MICROSOFT, Constant, Plan, Sizes
from generation.bundle.vocabulary_blocks import block_width
from generation.tensor_names import cross_names, past_names, present_names


def plan_encoder(sizes: Sizes) -> Plan:
    """Return the encoder graph of a model."""
    plan = Plan(sizes)
    width, heads = sizes.width, sizes.heads
    ids = plan.input("input_ids", INT64, 1, "S")
    length = plan.op("Shape", ids, start=1, end=2)[0]
    table = plan.floats("positions", sizes.positions, width)
    x = plan.embed(ids, plan.op("Slice", table, plan.ints(0), length)[0], "model.encoder")
    for index in range(sizes.layers):
        prefix = f"model.encoder.layers.{index}"
        context = _encoder_attention(plan, x, f"{prefix}.self_attn")
        made = plan.linear(context, f"{prefix}.self_attn.out_proj", width, width)
        x = plan.feed_forward(plan.add_norm(made, x, f"{prefix}.self_attn_layer_norm"), prefix, ranges=False)
    parts = 2 * sizes.decoder_layers
    fused = plan.linear(x, f"model.decoder.layers.0.encoder_attn.k_proj+{parts - 1}", parts * width, width)
    by_head = plan.op("Reshape", fused, plan.ints(0, 0, parts * heads, sizes.head_dim))[0]
    by_head = plan.op("Transpose", by_head, perm=(0, 2, 1, 3))[0]
    names = cross_names(sizes.decoder_layers)
    plan.op("Split", by_head, made=names, axis=1, num_outputs=parts)
    for name in names:
        plan.output(name, FLOAT, 1, heads, "S", sizes.head_dim)
    return plan


def _encoder_attention(plan: Plan, x: str, name: str) -> str:
    width = plan.sizes.width
    if not plan.sizes.int8:
        fused = plan.linear(x, f"{name}.q_proj+2", 3 * width, width)
        return plan.attention(*plan.op("Split", fused, outputs=3, axis=-1, num_outputs=3))
    quantized, step, zero = plan.op("DynamicQuantizeLinear", x, outputs=3)
    weight, zeros = f"{name}.qkv.weight", f"{name}.qkv.zero_point"
    plan.constants[weight] = Constant(INT8, (width, 3 * width))
    plan.constants[zeros] = Constant(INT8, (3 * width,), values=(0,) * (3 * width))
    bias, scale = plan.floats(f"{name}.qkv.bias", 3 * width), f"{name}.qkv.scale"
    plan.floats(scale, 3 * width, content="positive")
    return plan.op(
        "QAttention", quantized, weight, bias, step, scale, "", zero, zeros, domain=MICROSOFT,
        num_heads=plan.sizes.heads,
    )[0]  # fmt: skip


def plan_decoder(sizes: Sizes) -> Plan:
    """Return the graph of one decoder step of a model."""
    plan = Plan(sizes)
    width, heads, head_dim, layers = sizes.width, sizes.heads, sizes.head_dim, sizes.decoder_layers
    ids, positions = plan.input("input_ids", INT64, "R", "B"), plan.input("positions", INT64, "R")
    scores, wanted = plan.input("beam_scores", FLOAT, "R", "B"), plan.input("num_candidates", INT64, 1)
    mask = plan.input("attention_mask", INT32, "R", "S")
    self_bias = plan.input("self_bias", FLOAT, "R", 1, "B", "T")
    written = plan.input("cache_indices", INT64, "R", heads, 3)
    cross = [plan.input(name, FLOAT, "R", heads, "S", head_dim) for name in cross_names(layers)]
    past = [plan.input(name, FLOAT, "R", heads, "C", "B", head_dim) for name in past_names(layers)]
    present = present_names(layers)

    row = plan.op("Gather", plan.floats("position_table", sizes.positions, width), positions)[0]
    x = plan.embed(ids, plan.op("Unsqueeze", row, plan.ints(1))[0], "model.decoder")
    for index in range(layers):
        prefix = f"model.decoder.layers.{index}"
        own, other = f"{prefix}.self_attn", f"{prefix}.encoder_attn"
        fused = plan.linear(x, f"{own}.q_proj+2", 3 * width, width, f"{own}.q_proj")
        query, *new = plan.op("Split", fused, outputs=3, axis=2, num_outputs=3)
        cache = []
        for made, name, old in zip(new, present[2 * index :], past[2 * index :], strict=False):
            by_head = plan.op("Reshape", made, plan.ints(0, 0, heads, head_dim))[0]
            by_head = plan.op("Transpose", by_head, perm=(0, 2, 1, 3))[0]
            plan.op("ScatterND", old, written, by_head, made=[name])
            plan.output(name, FLOAT, "R", heads, "C", "B", head_dim)
            cache.append(plan.op("Reshape", name, plan.ints(0, 0, -1, head_dim))[0])
        context = plan.attention(query, *cache, "", "", self_bias)
        made = plan.linear(context, f"{own}.out_proj", width, width, f"{own}.out_proj")
        x = plan.add_norm(made, x, f"{own}_layer_norm")
        query = plan.linear(x, f"{other}.q_proj", width, width, f"{other}.q_proj")
        context = plan.attention(query, cross[2 * index], cross[2 * index + 1], "", mask)
        made = plan.linear(context, f"{other}.out_proj", width, width, f"{other}.out_proj")
        x = plan.feed_forward(plan.add_norm(made, x, f"{other}_layer_norm"), prefix, ranges=True)

    rows = sizes.rows
    plan.op("LogSoftmax", plan.head(x), made=["logprobs"], axis=-1)
    plan.output("logprobs", FLOAT, "R", "B", rows)
    watched = plan.ints(*sizes.watched, name="watched_tokens")
    plan.op("Gather", "logprobs", watched, made=["special_logprobs"], axis=2)
    plan.output("special_logprobs", FLOAT, "R", "B", 2)
    flat = _best_continuations(plan, scores, wanted)
    vocabulary = plan.ints(rows, name="vocab_rows", scalar=True)
    plan.output("sums", FLOAT, "R", "K")
    plan.op("Mod", flat, vocabulary, made=["tokens"])
    plan.output("tokens", INT64, "R", "K")
    plan.op("Div", flat, vocabulary, made=["beams"])
    plan.output("beams", INT64, "R", "K")
    return plan


def _best_continuations(plan: Plan, scores: str, wanted: str) -> str:
    block, rows = block_width(plan.sizes.rows), plan.sizes.rows
    if block == 1:
        totals = plan.op("Add", "logprobs", plan.op("Unsqueeze", scores, plan.ints(2))[0])[0]
        totals = plan.op("Reshape", totals, plan.ints(0, -1))[0]
        flat = f"TopK_{len(plan.nodes)}:1"
        plan.op("TopK", totals, wanted, made=["sums", flat], axis=1)
        return flat
    count = rows // block
    in_blocks = plan.op("Reshape", "logprobs", plan.ints(0, 0, count, block))[0]
    maxima = plan.op("ReduceMax", in_blocks, plan.ints(3), keepdims=0)[0]
    maxima = plan.op("Add", maxima, plan.op("Unsqueeze", scores, plan.ints(2))[0])[0]
    maxima = plan.op("Reshape", maxima, plan.ints(0, -1))[0]
    _, best = plan.op("TopK", maxima, wanted, outputs=2, axis=1)
    blocks = plan.op("Reshape", "logprobs", plan.ints(0, -1, block))[0]
    members = plan.op("GatherND", blocks, plan.op("Unsqueeze", best, plan.ints(2))[0], batch_dims=1)[0]
    beam = plan.op("Div", best, plan.ints(count, name="block_count", scalar=True))[0]
    added = plan.op("Unsqueeze", plan.op("GatherElements", scores, beam, axis=1)[0], plan.ints(2))[0]
    totals = plan.op("Reshape", plan.op("Add", members, added)[0], plan.ints(0, -1))[0]
    place = f"TopK_{len(plan.nodes)}:1"
    plan.op("TopK", totals, wanted, made=["sums", place], axis=1)
    width = plan.ints(block, name="block_width", scalar=True)
    first = plan.op("GatherElements", best, plan.op("Div", place, width)[0], axis=1)[0]
    first = plan.op("Mul", first, width)[0]
    return plan.op("Add", first, plan.op("Mod", place, width)[0])[0]
