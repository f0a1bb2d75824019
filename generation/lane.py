"""Requests of one shape, in memory that the decoder graph reads and updates in place.

A lane has a slot for each request: cross-attention keys and values, the self-attention cache, masks. Slots 0 to n - 1
are taken; when a request leaves, the last one moves to its slot. All sizes that decide the order of floating-point sums
(beams, room of the cache, padded source length) are the same for all requests of a lane, so a request's answer does not
depend on the other requests (docs/adr/0020).

The cache is only appended to. Position p of beam b is key p * B + b of its request, and never moves. When beams are
reordered, the rows of `self_bias`, which say to which beam a key belongs, are reordered instead of the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.backend import DecoderSession
from generation.bundle import Architecture
from generation.bundle.vocabulary_blocks import SPARE_FACTOR
from generation.candidates import Candidates
from generation.session import FloatArray
from generation.tensor_names import cross_names, past_names, present_names

NOT_MINE = np.float32(-1e9)  # added to the score of a key that is not in a beam's past
END, REJECT = 0, 1  # places in special_logprobs
_TOGETHER, _ALONE = 0, 1
_Arrays = Mapping[str, NDArray[Any]]
_Binder = Callable[[int, int, bool], tuple[_Arrays, _Arrays]]


@dataclass(frozen=True, slots=True)
class LaneShape:
    """What the requests of a lane have in common.

    Attributes:
        num_beams: B.
        positions: C, tokens that the self-attention cache has room for.
        source_tokens: S, the length that sources are padded to.
    """

    num_beams: int
    positions: int
    source_tokens: int


class Lane:
    """Slots for requests of one shape, and the decoder step over all of them.

    The last four attributes are the outputs of the last step, with N = SPARE_FACTOR * B candidates for each request.

    Attributes:
        shape: of the requests.
        slots: number of slots.
        taken: number of slots that are in use.
        sums: [slots, N], log-probability sums of the candidates, falling.
        beams: [slots, N], the open beam that each candidate continues.
        tokens: [slots, N], the token that each candidate adds.
        specials: [slots, B, 2], log-probabilities of the end and of [REJECT] for each open beam (END, REJECT).
    """

    def __init__(
        self, session: DecoderSession, sizes: Architecture, shape: LaneShape, slots: int, together: int
    ) -> None:
        """Reserve the memory of all slots; the system maps its pages when they are first written to.

        Args:
            session: runs the steps.
            sizes: of the model.
            shape: of the requests.
            slots: number of requests that there is room for.
            together: number of requests that go through the graph at once.
        """
        self.shape = shape
        self.slots = slots
        self.taken = 0
        self._together = together
        self._session = session
        self._sizes = sizes
        self._runs: dict[tuple[str, int, int, bool], Callable[[], None]] = {}
        beams, room, source = shape.num_beams, shape.positions, shape.source_tokens
        heads, head_dim, layers = sizes.attention_heads, sizes.head_dim, sizes.decoder_layers
        candidates = SPARE_FACTOR * beams
        self._cross: dict[str, NDArray[Any]] = {
            name: np.zeros((slots, heads, source, head_dim), np.float32) for name in cross_names(layers)
        }
        self._cache: dict[str, NDArray[Any]] = {
            name: np.zeros((slots, heads, room, beams, head_dim), np.float32) for name in past_names(layers)
        }
        self._mask = np.zeros((slots, source), np.int32)
        self._bias = np.full((slots, beams, room * beams), NOT_MINE, np.float32)
        self._ids = np.zeros((slots, beams), np.int64)
        self._scores = np.zeros((slots, beams), np.float32)
        self._positions = np.zeros(slots, np.int64)
        # (request, head, position) of the keys that a step writes. Requests are numbered within a run, of several or of
        # one request.
        self._written = np.zeros((2, slots, heads, 3), np.int64)
        self._written[_TOGETHER, ..., 0] = np.arange(slots)[:, None] % together
        self._written[..., 1] = np.arange(heads)
        self._first_bias = np.full((1, 1, 1, room * beams), NOT_MINE, np.float32)
        self._first_bias[..., 0] = 0.0
        self._wanted = np.array([candidates], np.int64)
        self.sums = np.zeros((slots, candidates), np.float32)
        self.beams = np.zeros((slots, candidates), np.int64)
        self.tokens = np.zeros((slots, candidates), np.int64)
        self.specials = np.zeros((slots, beams, 2), np.float32)
        self._logprobs: FloatArray | None = None

    def join(self, cross: Sequence[FloatArray]) -> int:
        """Take a slot for a source with these cross keys and values [1, heads, length, head_dim]; return its number."""
        slot = self.taken
        length = cross[0].shape[2]
        for memory, values in zip(self._cross.values(), cross, strict=True):
            memory[slot, :, :length] = values[0]
            memory[slot, :, length:] = 0.0
        self._mask[slot, :length] = 1
        self._mask[slot, length:] = 0
        self._bias[slot] = NOT_MINE
        self._bias[slot, :, 0] = 0.0  # all beams begin with the first token, which is key 0
        self._positions[slot] = 0
        self.taken += 1
        return slot

    def leave(self, slot: int) -> int:
        """Free a slot and move the last request to it; return the slot that the moved request had."""
        self.taken = last = self.taken - 1
        if slot != last:
            past = int(self._positions[last])
            for memory in self._cross.values():
                memory[slot] = memory[last]
            for memory in self._cache.values():
                memory[slot, :, :past] = memory[last, :, :past]
            others: tuple[NDArray[Any], ...] = (self._mask, self._bias, self._positions)
            for memory in others:
                memory[slot] = memory[last]
        return last

    def clear(self, slot: int) -> None:
        """Zero the cache of a slot that may hold NaN, because a masked key is still a term of a sum."""
        for memory in self._cache.values():
            memory[slot] = 0.0

    def first_step(self, slot: int, token: int, *, logprobs: bool) -> None:
        """Decode the start token of a request, which has one beam at this point."""
        self._ids[slot, 0] = token
        self._scores[slot, 0] = 0.0
        self._written[_ALONE, slot, :, 2] = 0
        self._run(self._first_arrays, slot, 1, logprobs)
        self._positions[slot] = 1

    def step(
        self,
        tokens: Sequence[Sequence[int]],
        parents: Sequence[Sequence[int]],
        sums: Sequence[Sequence[float]],
        *,
        logprobs: bool,
    ) -> None:
        """Decode one token of every beam of every request.

        Args:
            tokens: the last token of each beam, by slot.
            parents: which beam of the step before each one continues, by slot.
            sums: the log-probability sum of each beam, by slot; minus infinity for a beam that is not open.
            logprobs: whether `logprobs_of` will be called.
        """
        count, beams = self.taken, self.shape.num_beams
        self._ids[:count] = tokens
        self._scores[:count] = sums
        positions = self._positions[:count]
        self._written[:, :count, :, 2] = positions[:, None]
        # The new key of beam b is number position * B + b; its past is its parent's.
        requests, rows = np.arange(count)[:, None], np.arange(beams)
        bias = self._bias[requests, parents]  # [count, B, T]
        bias[requests, rows, positions[:, None] * beams + rows] = 0.0
        self._bias[:count] = bias
        for first in range(0, count, self._together):
            self._run(self._some_arrays, first, min(self._together, count - first), logprobs)
        self._positions[:count] += 1

    def step_alone(self, slot: int, *, logprobs: bool) -> None:
        """Repeat the last step, which failed, for one request alone."""
        self._run(self._one_arrays, slot, 1, logprobs)
        self._positions[slot] += 1

    def candidates(self, slot: int) -> Candidates:
        """Return the best continuations that the last step found for a request."""
        return self.sums[slot].tolist(), self.beams[slot].tolist(), self.tokens[slot].tolist()

    def logprobs_of(self, slot: int) -> FloatArray:
        """Return the log-probabilities [B, vocab_size] of the last step, which must have been run with `logprobs`."""
        assert self._logprobs is not None
        values: FloatArray = self._logprobs[slot, :, : self._sizes.vocab_size]
        return values

    def _run(self, arrays: _Binder, slot: int, count: int, logprobs: bool) -> None:
        # By name: with a bound method as key, a reference cycle would keep the lane's memory until garbage collection.
        key = (arrays.__name__, slot, count, logprobs)
        if key not in self._runs:
            self._runs[key] = self._session.bind(*arrays(slot, count, logprobs))
        self._runs[key]()

    def _some_arrays(self, slot: int, count: int, logprobs: bool) -> tuple[_Arrays, _Arrays]:
        return self._arrays(slice(slot, slot + count), self._written[_TOGETHER], logprobs)

    def _one_arrays(self, slot: int, count: int, logprobs: bool) -> tuple[_Arrays, _Arrays]:
        return self._arrays(slice(slot, slot + count), self._written[_ALONE], logprobs)

    def _arrays(self, rows: slice, written: NDArray[np.int64], logprobs: bool) -> tuple[_Arrays, _Arrays]:
        cache = {name: memory[rows] for name, memory in self._cache.items()}
        inputs: _Arrays = {
            "input_ids": self._ids[rows],
            "positions": self._positions[rows],
            "beam_scores": self._scores[rows],
            "num_candidates": self._wanted,
            "attention_mask": self._mask[rows],
            "self_bias": self._bias[rows, None],
            "cache_indices": written[rows],
            **{name: memory[rows] for name, memory in self._cross.items()},
            **cache,
        }
        return inputs, self._outputs(rows, cache, self.shape.num_beams, logprobs)

    def _first_arrays(self, slot: int, count: int, logprobs: bool) -> tuple[_Arrays, _Arrays]:
        """View the same memory as one beam with room for C * B positions, of which the first is written."""
        rows = slice(slot, slot + count)
        shape = self.shape
        heads, head_dim = self._sizes.attention_heads, self._sizes.head_dim
        one_beam = (count, heads, shape.positions * shape.num_beams, 1, head_dim)
        cache = {name: memory[rows].reshape(one_beam) for name, memory in self._cache.items()}
        inputs: _Arrays = {
            "input_ids": self._ids[rows, :1],
            "positions": self._positions[rows],
            "beam_scores": self._scores[rows, :1],
            "num_candidates": self._wanted,
            "attention_mask": self._mask[rows],
            "self_bias": self._first_bias,
            "cache_indices": self._written[_ALONE, rows],
            **{name: memory[rows] for name, memory in self._cross.items()},
            **cache,
        }
        return inputs, self._outputs(rows, cache, 1, logprobs)

    def _outputs(self, rows: slice, cache: _Arrays, beams: int, logprobs: bool) -> _Arrays:
        layers = self._sizes.decoder_layers
        present = zip(present_names(layers), (cache[name] for name in past_names(layers)), strict=True)
        outputs: dict[str, NDArray[Any]] = {
            "sums": self.sums[rows],
            "beams": self.beams[rows],
            "tokens": self.tokens[rows],
            "special_logprobs": self.specials[rows, :beams],
            **dict(present),
        }
        if logprobs:
            if self._logprobs is None:
                self._logprobs = np.zeros((self.slots, self.shape.num_beams, self._session.vocab_rows), np.float32)
            outputs["logprobs"] = self._logprobs[rows, :beams]
        return outputs
