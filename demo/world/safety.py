"""Unsafe videos: which ones, in which field it shows, the rule list and the reviews."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.world.spec import WorldSpec
from demo.world.vocabulary import POLICY_CATEGORIES, safety

_LEET = str.maketrans("aeios", "43105")
_ZERO_WIDTH_SPACE = "\u200b"


@dataclass(frozen=True, slots=True)
class UnsafeVideos:
    """Which videos break the rules; arrays over all V videos.

    Attributes:
        term: int32[V], index into `TERMS`, -1 for a safe video.
        in_text, in_summary: bool[V], where it shows; at least one of them for an unsafe video.
        trick: int32[V], how the text hides the term: 0 not, 1 spaced, 2 digits for letters, 3 dots, 4 zero-width.
    """

    term: NDArray[np.int32]
    in_text: NDArray[np.bool_]
    in_summary: NDArray[np.bool_]
    trick: NDArray[np.int32]


TERMS: tuple[tuple[str, str], ...] = tuple((c, term) for c in POLICY_CATEGORIES for term in safety(c))
"""Every (policy category, term) of the vocabulary."""


def draw_unsafe(spec: WorldSpec, rng: np.random.Generator) -> UnsafeVideos:
    """Choose exactly `rates.unsafe` of the videos, and the fields that show it."""
    rates, count = spec.rates, spec.videos
    term = np.full(count, -1, dtype=np.int32)
    rows = rng.choice(count, round(count * rates.unsafe), replace=False)
    term[rows] = rng.integers(0, len(TERMS), len(rows))
    unsafe = term >= 0
    where = rng.random(count)
    only_summary = where < rates.unsafe_only_in_summary
    both = where > 0.75
    hidden = rng.random(count) < rates.unsafe_disguised
    return UnsafeVideos(
        term=term,
        in_text=unsafe & ~only_summary,
        in_summary=unsafe & (only_summary | both),
        trick=np.where(unsafe & hidden & ~only_summary, rng.integers(1, 5, count), 0).astype(np.int32),
    )


def disguise(term: str, trick: int) -> str:
    """Return `term` in a spelling meant to pass a rule list.

    Args:
        term: lower-case words.
        trick: 0 plain, 1 spaced letters, 2 digits for letters, 3 dots between letters, 4 zero-width characters.
    """
    if trick == 1:
        return "  ".join(" ".join(word) for word in term.split())
    if trick == 2:
        return term.translate(_LEET)
    if trick == 3:
        return " ".join(".".join(word) for word in term.split())
    if trick == 4:
        return " ".join(_ZERO_WIDTH_SPACE.join(word) for word in term.split())
    return term


def listed_terms(spec: WorldSpec, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """Return the rule list of the platform: `rates.listed_terms` of the terms, at least one of each category."""
    keep = rng.random(len(TERMS)) < spec.rates.listed_terms
    first_of = {category: index for index, (category, _) in reversed(list(enumerate(TERMS)))}
    keep[list(first_of.values())] = True
    return tuple(term for term, kept in zip(TERMS, keep, strict=True) if kept)


def reviewed(spec: WorldSpec, unsafe: UnsafeVideos, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return bool[V], the videos that were reviewed: most unsafe ones, few safe ones."""
    share = np.where(unsafe.term >= 0, spec.rates.reviewed_unsafe, spec.rates.reviewed_safe)
    return np.asarray(rng.random(len(share)) < share)
