"""A bundle's weights in the order in which the kernels read them.

Names are those of the graphs' constants (generation/bundle/graphs.py). `load_bundle` has checked that they are there,
with the right shapes and types.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.bundle import DECODER, ENCODER, Bundle
from generation.bundle.graph_file import Constants
from generation.native.library import Decoder, DecoderLayer, Embedding, Encoder, EncoderLayer, Linear, Norm


class Packer:
    """Makes the structures of one graph, and keeps alive the memory that they point to."""

    def __init__(self, library: ModuleType, constants: Constants) -> None:
        """Take the kernels, whose order the weights get, and the constants of the graph by name."""
        self._library = library
        self._panel: int = library.PANEL
        self._constants = constants
        self.memory: list[Any] = []

    def keep(self, array: NDArray[Any]) -> int:
        """Return the address of an array, and keep the array alive."""
        array = np.ascontiguousarray(array)
        self.memory.append(array)
        return array.ctypes.data

    def floats(self, name: str, room: int = 0) -> int:
        """Return the address of a constant of floats, followed by zeros up to `room`."""
        values = self._constant(name).astype(np.float32).reshape(-1)
        return self.keep(np.pad(values, (0, max(0, room - values.size))))

    def linear(self, name: str, range_of: str = "") -> Linear:
        """Pack a linear layer. `range_of` names the projection whose input range is known."""
        weight = np.ascontiguousarray(self._constant(f"{name}.weight"))
        return self._linear(weight, f"{name}.scale", f"{name}.bias", range_of)

    def head(self) -> Linear:
        """Pack the output projection: the token embedding, [rows, width], transposed."""
        weight = np.ascontiguousarray(self._constant("shared.weight").T)
        return self._linear(weight, "shared.scale", "final_logits_bias", "lm_head")

    def norm(self, name: str) -> Norm:
        """Return a layer norm."""
        return Norm(self.floats(f"{name}.weight"), self.floats(f"{name}.bias"))

    def embedding(self, stack: str, positions: str) -> Embedding:
        """Return the embeddings of a stack."""
        table = self._constant("shared.weight")
        places = len(self._constant(positions))
        norm = self.norm(f"model.{stack}.layernorm_embedding")
        return Embedding(
            len(table), places, self.keep(table), self.floats("shared.embed_scale"), self.floats(positions), norm
        )

    def _linear(self, weight: NDArray[np.int8], scale: str, bias: str, range_of: str) -> Linear:
        inputs, outputs = weight.shape
        room = -(-outputs // self._panel) * self._panel
        packed, sums = np.empty((room, inputs), np.int8), np.empty(room, np.int32)
        self._library.pack(weight, packed, sums)
        linear = Linear(inputs, outputs, self.keep(packed), self.keep(sums))
        linear.scale, linear.bias = self.floats(scale, room), self.floats(bias, room)
        if range_of:
            linear.input_step = float(self._constant(f"{range_of}.input_scale"))
            linear.input_zero = int(self._constant(f"{range_of}.input_zero_point"))
        return linear

    def _constant(self, name: str) -> NDArray[Any]:
        return self._constants[name]


def pack_encoder(library: ModuleType, bundle: Bundle) -> tuple[Encoder, list[Any]]:
    """Return the encoder, and the memory that must live as long as it."""
    sizes, constants = bundle.architecture, bundle.constants(ENCODER)
    packer = Packer(library, constants)
    layers = (EncoderLayer * sizes.encoder_layers)()
    for index, layer in enumerate(layers):
        prefix = f"model.encoder.layers.{index}"
        layer.qkv = packer.linear(f"{prefix}.self_attn.qkv")
        layer.attention_out = packer.linear(f"{prefix}.self_attn.out_proj")
        layer.fc1, layer.fc2 = packer.linear(f"{prefix}.fc1"), packer.linear(f"{prefix}.fc2")
        layer.attention_norm = packer.norm(f"{prefix}.self_attn_layer_norm")
        layer.final_norm = packer.norm(f"{prefix}.final_layer_norm")
    cross = f"model.decoder.layers.0.encoder_attn.k_proj+{2 * sizes.decoder_layers - 1}"
    encoder = Encoder(
        sizes.d_model, sizes.attention_heads, layers[0].fc1.outputs, sizes.encoder_layers,
        packer.embedding("encoder", "positions"), layers, packer.linear(cross), sizes.decoder_layers,
    )  # fmt: skip
    return encoder, [*packer.memory, layers]


def pack_decoder(library: ModuleType, bundle: Bundle) -> tuple[Decoder, list[Any]]:
    """Return the decoder, and the memory that must live as long as it."""
    sizes, constants = bundle.architecture, bundle.constants(DECODER)
    packer = Packer(library, constants)
    layers = (DecoderLayer * sizes.decoder_layers)()
    for index, layer in enumerate(layers):
        prefix = f"model.decoder.layers.{index}"
        layer.qkv = packer.linear(f"{prefix}.self_attn.q_proj+2", f"{prefix}.self_attn.q_proj")
        for field, name in (
            ("attention_out", "self_attn.out_proj"), ("cross_query", "encoder_attn.q_proj"),
            ("cross_out", "encoder_attn.out_proj"), ("fc1", "fc1"), ("fc2", "fc2"),
        ):  # fmt: skip
            setattr(layer, field, packer.linear(f"{prefix}.{name}", f"{prefix}.{name}"))
        layer.attention_norm = packer.norm(f"{prefix}.self_attn_layer_norm")
        layer.cross_norm = packer.norm(f"{prefix}.encoder_attn_layer_norm")
        layer.final_norm = packer.norm(f"{prefix}.final_layer_norm")
    decoder = Decoder(
        sizes.d_model, sizes.attention_heads, layers[0].fc1.outputs, sizes.decoder_layers,
        packer.embedding("decoder", "position_table"), layers, packer.head(),
    )  # fmt: skip
    decoder.watched[:] = (bundle.special_tokens.eos, bundle.special_tokens.reject)
    return decoder, [*packer.memory, layers]
