"""Checks of a manifest's sections, each by itself and against the architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from evidence.render import RenderBudgets
from generation.bundle.architecture import Architecture
from generation.errors import BundleError
from generation.options import GenerationOptions

PRECISIONS = ("fp32", "int8")
MOST_NUMBER = (1 << 31) - 1  # of any whole number in a manifest
MOST_LOG_SCORE_DIVISOR = 700.0  # exp of this is a float


def whole_numbers(manifest: Mapping[str, Any], section: str, target: type[Any]) -> dict[str, int]:
    """Return a section that must have exactly the fields of `target`, each a whole number.

    Raises:
        BundleError: it does not.
    """
    values, names = manifest[section], {field.name for field in fields(target)}
    if not isinstance(values, dict) or set(values) != names:
        raise BundleError(f"{section} must have exactly the keys {sorted(names)}")
    for name, value in values.items():
        if type(value) is not int or not 0 <= value <= MOST_NUMBER:
            raise BundleError(f"{section}.{name} must be a whole number from 0 to {MOST_NUMBER}")
    return values


def read_precision(manifest: Mapping[str, Any]) -> str:
    """Return the precision.

    Raises:
        BundleError: it is unknown.
    """
    precision = manifest["precision"]
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise BundleError(f"precision must be one of {', '.join(PRECISIONS)}")
    return precision


def read_render_budgets(manifest: Mapping[str, Any], sizes: Architecture) -> RenderBudgets:
    """Return the token budgets.

    Raises:
        BundleError: a budget is no whole number, or a source within them would be too long for the model.
        RenderError: they contradict each other.
    """
    budgets = RenderBudgets.from_dict(whole_numbers(manifest, "render", RenderBudgets))
    if budgets.max_source_tokens > sizes.max_positions:
        raise BundleError(
            f"render.max_source_tokens {budgets.max_source_tokens} is more than max_positions {sizes.max_positions}"
        )
    return budgets


def read_generation_options(manifest: Mapping[str, Any], sizes: Architecture) -> GenerationOptions:
    """Return the default options of a search.

    Raises:
        BundleError: the model cannot be searched with them.
        OptionsError: they contradict each other.
    """
    section = manifest["generation"]
    if not isinstance(section, dict):
        raise BundleError("generation must be an object")
    options = GenerationOptions.from_dict(section)
    if options.max_new_tokens > sizes.max_positions:
        raise BundleError(f"generation.max_new_tokens is more than max_positions {sizes.max_positions}")
    if 3 * options.num_beams > sizes.vocab_size:
        raise BundleError(f"generation.num_beams is more than a third of vocab_size {sizes.vocab_size}")
    if options.no_repeat_ngram_size > MOST_NUMBER:
        raise BundleError(f"generation.no_repeat_ngram_size is more than {MOST_NUMBER}")
    # Scores are divided by length ** length_penalty, which must stay a finite number other than 0.
    if abs(options.length_penalty) * math.log(sizes.max_positions) > MOST_LOG_SCORE_DIVISOR:
        raise BundleError("generation.length_penalty is too far from 0")
    return options


def read_reject_threshold(manifest: Mapping[str, Any]) -> float:
    """Return the probability of [REJECT] from which nothing is shown.

    Raises:
        BundleError: it is not a number from 0 to 1.
    """
    section = manifest["reject"]
    threshold = section.get("threshold") if isinstance(section, dict) else None
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise BundleError("reject.threshold must be a number from 0 to 1")
    return float(threshold)
