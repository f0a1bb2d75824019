"""What makes a training step faster: precision, attention, batch size, lengths, compilation?

    python -m benchmarks.training_speed --output build/training_speed.json
    python -m benchmarks.training_speed --kernels 1024 --variant "many lengths"

Trains the demo's size (4+2 layers of width 256) from random weights on random batches, on one thread. A variant differs
from the default of `onebar train sft` in one point. The variants take turns: a round is four steps of each. The figures
are CPU time a sample, because other processes change it less than elapsed time, and its ratio to the default in the
same round.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import torch
from tqdm import tqdm
from transformers import BartConfig

from benchmarks.random_model import SIZES
from loadtest.machine import begin_result, finish_result
from training.batches import IGNORED_LABEL, Batch
from training.config import OptimConfig
from training.generator import Generator
from training.losses import sft_loss
from training.model import target_logits
from training.optimizer import make_optimizer

DEFAULT = "default"
FIRST_ID = 7
"""Lower ids are special tokens."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to train.

    Attributes:
        precision: "autocast" multiplies fp32 weights in bf16, "weights" keeps bf16 weights and fp32 master copies.
        attention: implementation of transformers.
        batch_size: examples in a step.
        lengths: source lengths, one for each step of a round; an empty tuple draws another one in each step.
        multiple: lengths are padded to a multiple of this.
        compiled: whether torch.compile makes the encoder and the decoder.
    """

    precision: Literal["autocast", "weights", "fp32"] = "autocast"
    attention: Literal["eager", "sdpa"] = "eager"
    batch_size: int = 32
    lengths: tuple[int, ...] = (64, 80, 96, 112)
    multiple: int = 1
    compiled: bool = False


VARIANTS = {
    DEFAULT: Variant(),
    "fp32": Variant(precision="fp32"),
    "bf16 weights": Variant(precision="weights"),
    "fused attention": Variant(attention="sdpa"),
    "batch 64": Variant(batch_size=64),
    "batch 16": Variant(batch_size=16),
    "many lengths": Variant(lengths=()),
    "many lengths, padded to 8": Variant(lengths=(), multiple=8),
    "length 64": Variant(lengths=(64,) * 4),
    "length 64, fused attention": Variant(lengths=(64,) * 4, attention="sdpa"),
    "length 64, compiled": Variant(lengths=(64,) * 4, compiled=True),
    "length 112": Variant(lengths=(112,) * 4),
    "length 112, fused attention": Variant(lengths=(112,) * 4, attention="sdpa"),
}
COMPARED_WITH = {
    "many lengths, padded to 8": "many lengths",
    "length 64, fused attention": "length 64",
    "length 64, compiled": "length 64",
    "length 112, fused attention": "length 112",
}
"""What a variant is compared with, where that is not the default."""


def random_batch(
    rng: np.random.Generator, vocabulary: int, batch_size: int, length: int, multiple: int, target_tokens: int
) -> Batch:
    """Return a batch of sources of one length, padded to a multiple, and targets of 2 to `target_tokens`."""
    padded = -(-length // multiple) * multiple
    source = torch.from_numpy(rng.integers(FIRST_ID, vocabulary, (batch_size, padded)))
    mask = None if padded == length else (torch.arange(padded) < length).long().expand(batch_size, -1)
    labels = torch.from_numpy(rng.integers(FIRST_ID, vocabulary, (batch_size, target_tokens)))
    ends = torch.from_numpy(rng.integers(2, target_tokens + 1, batch_size))
    ends[0] = target_tokens
    labels[torch.arange(target_tokens) >= ends[:, None]] = IGNORED_LABEL
    return Batch(source, mask, None, labels.clamp(min=1), labels, torch.ones(batch_size))


def build_model(variant: Variant, size: str, seed: int) -> Generator:
    """Return a random model in training mode, with the attention of a variant."""
    shape = SIZES[size]
    torch.manual_seed(seed)
    config = BartConfig(  # type: ignore[no-untyped-call]
        vocab_size=shape.vocab_size,
        d_model=shape.d_model,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.attention_heads,
        decoder_attention_heads=shape.attention_heads,
        encoder_ffn_dim=4 * shape.d_model,
        decoder_ffn_dim=4 * shape.d_model,
        max_position_embeddings=128,
        dropout=0.0,
        forced_eos_token_id=None,
    )
    model: Generator = Generator._from_config(config)
    model.set_attn_implementation(variant.attention)
    model.train()
    return model


def make_step(model: Generator, variant: Variant) -> Callable[[Batch], float]:
    """Return a function that trains on one batch and returns the loss."""
    optim = OptimConfig()
    masters: list[torch.nn.Parameter] = []
    if variant.precision == "weights":
        masters = [torch.nn.Parameter(parameter.detach().clone()) for parameter in model.parameters()]
        optimizer = make_optimizer(torch.nn.ParameterList(masters), optim)
        torch.nn.Module.to(model, torch.bfloat16)
    else:
        optimizer = make_optimizer(model, optim)
    parameters = list(model.parameters())
    if variant.compiled:
        model.model.compile()

    def step(batch: Batch) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=variant.precision == "autocast"):
            logits, labels, weights = target_logits(model, batch)
            loss = sft_loss(logits, labels, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        for master, parameter in zip(masters, parameters if masters else (), strict=True):
            assert parameter.grad is not None
            master.grad = parameter.grad.float()
        torch.nn.utils.clip_grad_norm_(masters or parameters, optim.clip_norm)
        optimizer.step()
        with torch.no_grad():
            for master, parameter in zip(masters, parameters if masters else (), strict=True):
                parameter.copy_(master)
                parameter.grad = None
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


class Contender:
    """A variant with its model and its stream of batches."""

    def __init__(self, variant: Variant, size: str, seed: int) -> None:
        """Build the model; `seed` is of weights and batches."""
        self.variant = variant
        self.vocabulary = SIZES[size].vocab_size
        self.rng = np.random.default_rng(seed)
        self.step = make_step(build_model(variant, size, seed), variant)

    def cpu_ms_per_sample(self) -> float:
        """Train for the four steps of a round and return the CPU time of one sample."""
        lengths: Sequence[int] = self.variant.lengths or self.rng.integers(64, 113, 4).tolist()
        # The sum of target tokens differs between steps, as in training; the longest target is always 8.
        batches = [
            random_batch(self.rng, self.vocabulary, self.variant.batch_size, length, self.variant.multiple, 8)
            for length in lengths
        ]
        began = time.process_time()
        for batch in batches:
            self.step(batch)
        return (time.process_time() - began) * 1000 / (len(batches) * self.variant.batch_size)


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}, help=__doc__)
@click.option("--rounds", type=click.IntRange(min=1), default=9, help="Measured; one more warms up.")
@click.option("--size", type=click.Choice(sorted(SIZES)), default="w256")
@click.option("--variant", "names", type=click.Choice(list(VARIANTS)), multiple=True, help="Measure only these.")
@click.option("--kernels", type=click.IntRange(min=0), default=128, help="Kernels that oneDNN keeps, as in training.")
@click.option("--seed", default=0)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the JSON result.")
def main(rounds: int, size: str, names: tuple[str, ...], kernels: int, seed: int, output: Path | None) -> None:
    """Measure the variants in turn; the help text is the module's docstring."""
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ[name] = str(kernels)  # read at the first product
    torch.set_num_threads(1)
    result = begin_result("training_speed", "torch", "transformers")
    chosen = [name for name in VARIANTS if not names or name in names]
    contenders = {name: Contender(VARIANTS[name], size, seed) for name in chosen}
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for number in tqdm(range(rounds + 1), desc="rounds", unit="round"):
        first = number % len(chosen)
        for name in chosen[first:] + chosen[:first]:
            spent = contenders[name].cpu_ms_per_sample()
            if number:
                times[name].append(spent)
    found: dict[str, Any] = {}
    for name, values in times.items():
        found[name] = {"cpu_ms_per_sample": {"median": statistics.median(values), "minimum": min(values)}}
        reference = times.get(COMPARED_WITH.get(name, DEFAULT))
        if reference is not None:
            ratios = sorted(value / other for value, other in zip(values, reference, strict=True))
            found[name]["compared_with"] = COMPARED_WITH.get(name, DEFAULT)
            found[name]["ratio"] = {"median": statistics.median(ratios), "minimum": ratios[0], "maximum": ratios[-1]}
        tqdm.write(f"{name}: {found[name]}", file=sys.stdout)
    finish_result(result | {"rounds": rounds, "size": size, "kernels": kernels, "variants": found}, output)


if __name__ == "__main__":
    main()
