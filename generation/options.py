"""Options of one generation, with the names and meanings of `GenerationConfig` in transformers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from generation.errors import OptionsError

EarlyStopping = bool | Literal["never"]
MAX_BEAMS = 64


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How one request is searched.

    Attributes:
        num_beams: open beams that are kept at each step.
        num_return_sequences: hypotheses that are returned, at most num_beams.
        length_penalty: the sum of log-probabilities is divided by the length to this power; values over 0 favour long
            sequences.
        early_stopping: True stops with num_beams finished hypotheses; False stops when the best open beam, at its
            present length, cannot beat the worst finished one; "never" assumes the best length that it could reach.
        min_new_tokens: tokens before the end-of-sequence token is allowed.
        max_new_tokens: tokens at most, including the end-of-sequence token.
        no_repeat_ngram_size: no n-gram of this size may occur twice, the decoder's start token included; 0 allows all.

    Raises:
        OptionsError: an option is of the wrong type, out of range, or contradicts another.
    """

    num_beams: int = 8
    num_return_sequences: int = 8
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    min_new_tokens: int = 1
    max_new_tokens: int = 16
    no_repeat_ngram_size: int = 0

    def __post_init__(self) -> None:
        """Check types and ranges."""
        for name in (
            "num_beams", "num_return_sequences", "min_new_tokens", "max_new_tokens", "no_repeat_ngram_size",
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise OptionsError(f"{name} must be a whole number, got {value!r}")
        if not 1 <= self.num_beams <= MAX_BEAMS:
            raise OptionsError(f"num_beams must be 1 to {MAX_BEAMS}, got {self.num_beams}")
        if not 1 <= self.num_return_sequences <= self.num_beams:
            raise OptionsError(
                f"num_return_sequences must be 1 to num_beams={self.num_beams}, got {self.num_return_sequences}"
            )
        if self.max_new_tokens < 1:
            raise OptionsError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not 0 <= self.min_new_tokens < self.max_new_tokens:
            raise OptionsError(
                f"min_new_tokens must be 0 to max_new_tokens-1={self.max_new_tokens - 1}, got {self.min_new_tokens}"
            )
        if self.no_repeat_ngram_size < 0:
            raise OptionsError(f"no_repeat_ngram_size must be 0 or more, got {self.no_repeat_ngram_size}")
        if not isinstance(self.early_stopping, bool) and self.early_stopping != "never":
            raise OptionsError(f'early_stopping must be true, false or "never", got {self.early_stopping!r}')
        if (
            isinstance(self.length_penalty, bool)
            or not isinstance(self.length_penalty, int | float)
            or not math.isfinite(self.length_penalty)
        ):
            raise OptionsError(f"length_penalty must be a finite number, got {self.length_penalty!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GenerationOptions:
        """Read options from a manifest or a checkpoint; missing ones have their defaults.

        Raises:
            OptionsError: a key is unknown, or a value is refused.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise OptionsError(f"unknown generation options {sorted(unknown)}")
        given = dict(values)
        # By default a search returns all of its beams, also if it is narrower than the default.
        if "num_beams" in given and "num_return_sequences" not in given:
            given["num_return_sequences"] = given["num_beams"]
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as a manifest contains them."""
        return asdict(self)
