"""Makes a checkpoint from a bundle, to train on from it where the checkpoint itself is not at hand.

Weights come from the constants of the graphs, which have the names of the checkpoint (model_export/layers.py). Of an
int8 bundle they are the weights that serving uses: exported again they give the same integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

import training.checkpoint as checkpoint_format
from evidence.tokens import special_token_ids
from generation.bundle import DECODER, EMBEDDINGS, ENCODER, Bundle
from generation.bundle.graph_checks import embedding_array
from model_export.errors import ExportError
from model_export.layers import POSITION_OFFSET, Array, product_label

Constants = Mapping[str, NDArray[Any]]


def restore_checkpoint(bundle: Bundle, destination: Path) -> None:
    """Write the checkpoint of a bundle.

    Args:
        bundle: with every check done.
        destination: a new or empty folder.

    Raises:
        ExportError: the destination has content.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ExportError(f"{destination} is not empty; give a new folder")
    import torch

    from training.generator import Generator, bart_config

    encoder, decoder = (_constants(bundle.path / name) for name in (ENCODER, DECODER))
    sizes = bundle.architecture
    weights = restored_weights(bundle, encoder, decoder)
    special = special_token_ids(bundle.tokenizer)
    config = bart_config(
        special,
        vocab_size=sizes.vocab_size,
        width=sizes.d_model,
        layers=(sizes.encoder_layers, sizes.decoder_layers),
        ffn_dim=len(weights["model.encoder.layers.0.fc1.bias"]),
        heads=sizes.attention_heads,
        positions=sizes.max_positions,
        dropout=0.0,
    )
    config.scale_embedding = _embeddings_are_scaled(encoder, decoder)
    config.decoder_start_token_id = bundle.special_tokens.decoder_start
    model = Generator._from_config(config)
    pointer = bundle.pointer
    if pointer is not None:
        model.add_pointer(len(pointer.inner_bias), pointer.separator, pointer.between)
        assert model.pointer is not None
        gain = model.pointer.gain
        weights |= {
            "pointer.inner.weight": pointer.inner.T,
            "pointer.inner.bias": pointer.inner_bias,
            "pointer.outer.weight": pointer.outer[None] / gain,
            "pointer.place": pointer.place / gain,
            "pointer.generate.weight": pointer.generate[None] / gain,
            "pointer.generate.bias": np.array([pointer.generate_bias / gain], np.float32),
        }
    model.load_state_dict({name: torch.from_numpy(np.array(value, np.float32)) for name, value in weights.items()})
    meta = checkpoint_format.CheckpointMeta(
        render=bundle.render_budgets,
        # A manifest has more: what serving fixes, and training does not choose.
        generation={name: bundle.manifest["generation"][name] for name in checkpoint_format.GENERATION_SETTINGS},
        reject={"threshold": bundle.reject_threshold},
        special_tokens=special,
        training={"stage": "restored", "bundle": bundle.model_version, "precision": bundle.precision},
        metrics=bundle.manifest.get("metrics", {}),
    )
    checkpoint_format.save_checkpoint(destination, model, bundle.tokenizer, meta)


def restored_weights(bundle: Bundle, encoder: Constants, decoder: Constants) -> dict[str, Array]:
    """Return the weights of BART by their names in a checkpoint.

    Args:
        bundle: has the token embeddings.
        encoder: constants of the encoder graph.
        decoder: constants of the decoder graph.
    """
    sizes = bundle.architecture
    int8 = bundle.precision == "int8"
    table = embedding_array((bundle.path / EMBEDDINGS).read_bytes(), sizes, int8=int8).astype(np.float32)
    if int8:
        table *= decoder["shared.scale"][:, None]
    tokens = table[: sizes.vocab_size]
    shared = ("model.shared", "model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head")
    weights = {f"{name}.weight": tokens for name in shared}
    weights["final_logits_bias"] = decoder["final_logits_bias"][None, : sizes.vocab_size]
    for stack, graph, name in (("encoder", encoder, "positions"), ("decoder", decoder, "position_table")):
        unused = np.zeros((POSITION_OFFSET, sizes.d_model), np.float32)
        weights[f"model.{stack}.embed_positions.weight"] = np.concatenate([unused, graph[name]])
        weights |= _as_they_are(graph, f"model.{stack}.layernorm_embedding")

    def layer(graph: Constants, prefix: str, norms: tuple[str, ...], *products: tuple[str, ...]) -> None:
        for norm in norms:
            weights.update(_as_they_are(graph, f"{prefix}.{norm}"))
        for names in products:
            weights.update(_split(graph, *(f"{prefix}.{name}" for name in names)))

    attended = tuple(f"self_attn.{part}_proj" for part in "qkv")
    norms = ("self_attn_layer_norm", "final_layer_norm")
    own = (attended, ("self_attn.out_proj",), ("fc1",), ("fc2",))
    for index in range(sizes.encoder_layers):
        layer(encoder, f"model.encoder.layers.{index}", norms, *own)
    crossing = (("encoder_attn.q_proj",), ("encoder_attn.out_proj",))
    for index in range(sizes.decoder_layers):
        layer(decoder, f"model.decoder.layers.{index}", (*norms, "encoder_attn_layer_norm"), *own, *crossing)
    crossed = [f"layers.{index}.encoder_attn.{part}_proj" for index in range(sizes.decoder_layers) for part in "kv"]
    layer(encoder, "model.decoder", (), tuple(crossed))
    return weights


def _constants(path: Path) -> dict[str, NDArray[Any]]:
    """Return the constants of a graph that its file holds itself."""
    graph = onnx.load(path, load_external_data=False).graph
    inside = (tensor for tensor in graph.initializer if tensor.data_location != onnx.TensorProto.EXTERNAL)
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in inside}


def _embeddings_are_scaled(encoder: Constants, decoder: Constants) -> bool:
    """Return whether token embeddings have a factor: of their own in fp32, within their scales in int8."""
    if "shared.embed_scale" in encoder:
        return not np.array_equal(encoder["shared.embed_scale"][:, 0], decoder["shared.scale"])
    return "embed_scale" in encoder


def _as_they_are(graph: Constants, name: str) -> dict[str, Array]:
    return {f"{name}.{part}": graph[f"{name}.{part}"] for part in ("weight", "bias")}


def _split(graph: Constants, *names: str) -> dict[str, Array]:
    """Return weights and biases of projections that lie side by side in one product of the graph."""
    attention = names[0].removesuffix(".q_proj") + ".qkv"  # of the encoder in int8
    label = attention if f"{attention}.weight" in graph else product_label(names)
    weight = graph[f"{label}.weight"].T.astype(np.float32)  # [out, in]
    if f"{label}.scale" in graph:
        weight *= graph[f"{label}.scale"][:, None]
    parts = zip(names, np.split(weight, len(names)), np.split(graph[f"{label}.bias"], len(names)), strict=True)
    return {
        f"{name}.{part}": value for name, weight, bias in parts for part, value in (("weight", weight), ("bias", bias))
    }
