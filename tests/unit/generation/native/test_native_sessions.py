"""The kernels against ONNX Runtime on the same bundle.

The arithmetic is the same, but floats are summed in another order. Where a value lies on the edge between two bytes it
may so be rounded to the other one, and everything after it differs by about what quantising costs anyway. Hence: most
results agree to the last digits, and those that do not are no farther from fp32 than ONNX Runtime's.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generation.backend import Backend, open_sessions
from generation.bundle import Bundle
from generation.lane import NOT_MINE
from generation.tensor_names import cross_names, past_names, present_names

LENGTHS = (1, 2, 3, 15, 16, 17, 31, 48, 77, 96)
NEAR = 1e-4
# ONNX Runtime's own floats differ between the machines on which each set is the fastest.
MOST_APART = {"avx512": 0.5, "avx2": 1.0}
Arrays = dict[str, NDArray[Any]]


def root_mean_square(values: list[NDArray[Any]]) -> float:
    return float(np.sqrt(np.mean(np.concatenate([value.reshape(-1) for value in values]) ** 2)))


def sources(bundle: Bundle, seed: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    vocabulary = bundle.architecture.vocab_size
    return [generator.integers(0, vocabulary, length).tolist() for length in LENGTHS for _ in range(4)]


def test_sources_are_encoded_as_by_onnx_runtime(models: dict[str, Bundle]) -> None:
    native, _ = open_sessions(models["int8"], 1, "native")
    onnx_int8, _ = open_sessions(models["int8"], 1, "onnxruntime")
    onnx_fp32, _ = open_sessions(models["fp32"], 1, "onnxruntime")
    apart, native_errors, onnx_errors = [], [], []
    for source in sources(models["int8"], seed=1):
        mine, theirs, exact = (session.run(source) for session in (native, onnx_int8, onnx_fp32))
        assert [value.shape for value in mine] == [value.shape for value in theirs]
        apart.append(max(float(np.abs(a - b).max()) for a, b in zip(mine, theirs, strict=True)))
        native_errors += [a - b for a, b in zip(mine, exact, strict=True)]
        onnx_errors += [a - b for a, b in zip(theirs, exact, strict=True)]
    assert sum(difference < NEAR for difference in apart) >= len(apart) / 2
    assert root_mean_square(native_errors) < 1.05 * root_mean_square(onnx_errors)


def step_memory(bundle: Bundle, requests: int, beams: int, position: int, seed: int) -> Arrays:
    """Requests of different source lengths that are `position` tokens on their way, with beams that changed order."""
    sizes, room, source = bundle.architecture, 12, 96
    generator = np.random.default_rng(seed)
    heads, dim = sizes.attention_heads, sizes.head_dim
    encoder, _ = open_sessions(bundle, 1, "onnxruntime")
    lengths = generator.integers(1, source + 1, requests)
    cross = {name: np.zeros((requests, heads, source, dim), np.float32) for name in cross_names(sizes.decoder_layers)}
    for request, length in enumerate(lengths):
        encoded = encoder.run(generator.integers(0, sizes.vocab_size, length).tolist())
        for memory, values in zip(cross.values(), encoded, strict=True):
            memory[request, :, :length] = values[0]
    past = np.arange(position)[:, None] * beams + generator.integers(0, beams, (requests, position, beams))
    bias = np.full((requests, 1, beams, room * beams), NOT_MINE, np.float32)
    for request in range(requests):
        for beam in range(beams):
            bias[request, 0, beam, past[request, :, beam]] = 0.0
            bias[request, 0, beam, position * beams + beam] = 0.0
    written = np.zeros((requests, heads, 3), np.int64)
    written[..., 0], written[..., 1], written[..., 2] = np.arange(requests)[:, None], np.arange(heads), position
    cache = {
        name: generator.normal(size=(requests, heads, room, beams, dim)).astype(np.float32)
        for name in past_names(sizes.decoder_layers)
    }
    return {
        "input_ids": generator.integers(0, sizes.vocab_size, (requests, beams)),
        "positions": np.full(requests, position),
        "beam_scores": -np.sort(generator.exponential(2.0, (requests, beams)).astype(np.float32)),
        "num_candidates": np.array([3 * beams]),
        "attention_mask": (np.arange(source) < lengths[:, None]).astype(np.int32),
        "self_bias": bias,
        "cache_indices": written,
        **cross,
        **cache,
    }


def run_step(session: Any, inputs: Arrays, layers: int) -> Arrays:
    """Take one step on a copy of the memory; return the outputs, the cache among them."""
    inputs = {name: array.copy() for name, array in inputs.items()}
    requests, beams = inputs["input_ids"].shape
    outputs: Arrays = {
        "sums": np.zeros((requests, 3 * beams), np.float32),
        "beams": np.zeros((requests, 3 * beams), np.int64),
        "tokens": np.zeros((requests, 3 * beams), np.int64),
        "special_logprobs": np.zeros((requests, beams, 2), np.float32),
        "logprobs": np.zeros((requests, beams, session.vocab_rows), np.float32),
        **dict(zip(present_names(layers), (inputs[name] for name in past_names(layers)), strict=True)),
    }
    session.bind(inputs, outputs)()
    return outputs


@pytest.mark.parametrize(
    ("requests", "beams", "position"), [(1, 8, 0), (1, 8, 5), (3, 8, 11), (2, 3, 4), (5, 1, 2), (1, 13, 7)]
)
def test_a_step_is_that_of_onnx_runtime(
    models: dict[str, Bundle], kernels: ModuleType, requests: int, beams: int, position: int
) -> None:
    bundle = models["int8"]
    layers, vocabulary = bundle.architecture.decoder_layers, bundle.architecture.vocab_size
    _, native = open_sessions(bundle, 1, "native")
    _, onnx = open_sessions(bundle, 1, "onnxruntime")
    all_apart = []
    for seed in range(6):
        inputs = step_memory(bundle, requests, beams, position, seed)
        mine, theirs = run_step(native, inputs, layers), run_step(onnx, inputs, layers)
        for name in present_names(layers)[:2]:  # of the first layer, before which little is rounded
            np.testing.assert_allclose(mine[name], theirs[name], atol=0.1)
        apart = np.abs(mine["logprobs"][..., :vocabulary] - theirs["logprobs"][..., :vocabulary]).max(axis=2)
        all_apart.append(apart.ravel())
    apart = np.concatenate(all_apart)
    assert np.mean(apart < NEAR) > 0.5
    # A byte that is rounded the other way can move a whole row of a random model; few rows have one.
    assert np.quantile(apart, 0.98) < 0.5
    assert apart.max() < MOST_APART[kernels.__name__.rpartition("_")[2]]


def test_the_best_continuations_are_those_of_the_log_probabilities(models: dict[str, Bundle]) -> None:
    bundle = models["int8"]
    _, native = open_sessions(bundle, 1, "native")
    inputs = step_memory(bundle, requests=2, beams=8, position=3, seed=0)
    inputs["beam_scores"][1, 5:] = -np.inf  # beams that are not there
    found = run_step(native, inputs, bundle.architecture.decoder_layers)
    totals = found["logprobs"] + inputs["beam_scores"][..., None]
    np.testing.assert_allclose(np.exp(found["logprobs"]).sum(axis=2), 1.0, rtol=1e-5)
    for request in range(2):
        flat = totals[request].reshape(-1)
        order = np.argsort(-flat, kind="stable")[:24]
        np.testing.assert_array_equal(found["sums"][request], flat[order])
        np.testing.assert_array_equal(found["beams"][request], order // native.vocab_rows)
        np.testing.assert_array_equal(found["tokens"][request], order % native.vocab_rows)
    specials = bundle.special_tokens
    np.testing.assert_array_equal(found["special_logprobs"], found["logprobs"][..., [specials.eos, specials.reject]])


def test_nothing_of_a_request_depends_on_the_others(models: dict[str, Bundle]) -> None:
    bundle = models["int8"]
    layers = bundle.architecture.decoder_layers
    _, native = open_sessions(bundle, 1, "native")
    together = step_memory(bundle, requests=7, beams=5, position=6, seed=3)
    expected = run_step(native, together, layers)
    for request in range(7):
        alone = {name: array[request : request + 1] for name, array in together.items() if name != "num_candidates"}
        alone |= {"num_candidates": together["num_candidates"]}
        for name, values in run_step(native, alone, layers).items():
            np.testing.assert_array_equal(values[0], expected[name][request])


def test_an_encoder_refuses_ids_and_lengths_that_the_model_does_not_have(models: dict[str, Bundle]) -> None:
    bundle = models["int8"]
    encoder, _ = open_sessions(bundle, 1, "native")
    for source in ([-1], [bundle.architecture.vocab_size + 10_000], [0, 2**62]):
        with pytest.raises(IndexError, match="token id"):
            encoder.run(source)
    for length in (0, bundle.architecture.max_positions + 1):
        with pytest.raises(ValueError, match=f"tokens, got {length}"):
            encoder.run([0] * length)


@pytest.mark.parametrize(
    ("name", "value"), [("input_ids", -1), ("input_ids", 2**40), ("positions", -1), ("positions", 12)]
)
def test_a_step_refuses_ids_and_positions_out_of_range(models: dict[str, Bundle], name: str, value: int) -> None:
    bundle = models["int8"]
    _, native = open_sessions(bundle, 1, "native")
    inputs = step_memory(bundle, requests=2, beams=3, position=4, seed=0)
    inputs[name].reshape(-1)[-1] = value
    with pytest.raises(IndexError, match="is not from 0 to below"):
        run_step(native, inputs, bundle.architecture.decoder_layers)


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("past_key_0", lambda array: array[:, :, :-1].copy()),
        ("cross_value_1", lambda array: array.astype(np.float64)),
        ("self_bias", lambda array: np.asfortranarray(np.repeat(array, 2, axis=1))),
        ("positions", lambda array: array[:-1].copy()),
        ("cache_indices", lambda array: array.astype(np.int32)),
    ],
)
def test_arrays_of_other_shapes_and_types_are_refused(
    models: dict[str, Bundle], backend: Backend, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    bundle = models["int8"]
    _, decoder = open_sessions(bundle, 1, backend)
    inputs = step_memory(bundle, requests=2, beams=3, position=4, seed=0)
    inputs[name] = change(inputs[name])
    with pytest.raises(ValueError, match="must be contiguous"):
        run_step(decoder, inputs, bundle.architecture.decoder_layers)


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_a_cache_that_is_not_updated_in_place_is_refused(models: dict[str, Bundle], backend: Backend) -> None:
    bundle = models["int8"]
    layers = bundle.architecture.decoder_layers
    _, decoder = open_sessions(bundle, 1, backend)
    inputs = step_memory(bundle, requests=1, beams=2, position=4, seed=0)
    outputs = {
        "sums": np.zeros((1, 6), np.float32),
        "beams": np.zeros((1, 6), np.int64),
        "tokens": np.zeros((1, 6), np.int64),
        "special_logprobs": np.zeros((1, 2, 2), np.float32),
        **{name: inputs[past].copy() for name, past in zip(present_names(layers), past_names(layers), strict=True)},
    }
    with pytest.raises(ValueError, match="must be the memory of past_key_0"):
        decoder.bind(inputs, outputs)
