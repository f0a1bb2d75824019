"""The pointer of a bundle: a section of the manifest, and one file of float32 numbers.

pointer.bin   inner [D, H], inner_bias [H], outer [H], place [places], generate [D], generate_bias [1]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from evidence.entries import FIELD_PLACES
from evidence.tokens import QUERY_SEPARATOR
from generation.bundle.architecture import Architecture, SpecialTokens
from generation.bundle.files import EXPORT_AGAIN, POINTER, read_file
from generation.errors import BundleError
from generation.pointer import Pointer, pointer_floats

MOST_HIDDEN = 16_384
_KEYS = {"hidden", "places"}


def check_pointer_section(manifest: Mapping[str, Any], sizes: Architecture) -> None:
    """Check the section, where there is one, and that the file is listed, with its size, if and only if there is one.

    Raises:
        BundleError: it has another form.
    """
    section = manifest.get("pointer")
    if (POINTER in manifest["files"]) != ("pointer" in manifest):
        raise BundleError(f"{POINTER} is listed if and only if there is a section pointer")
    if "pointer" not in manifest:
        return
    if not isinstance(section, dict) or set(section) != _KEYS:
        raise BundleError(f"pointer must have exactly the keys {sorted(_KEYS)}")
    hidden, places = section["hidden"], section["places"]
    if type(hidden) is not int or not 1 <= hidden <= MOST_HIDDEN:
        raise BundleError(f"pointer.hidden must be a whole number from 1 to {MOST_HIDDEN}")
    if type(places) is not int or places != FIELD_PLACES:
        raise BundleError(f"pointer.places must be {FIELD_PLACES}, as this release finds entries")
    expected = 4 * pointer_floats(sizes.d_model, hidden)
    if manifest["files"][POINTER]["bytes"] != expected:
        raise BundleError(f"{POINTER} of this architecture has {expected} bytes")


def read_pointer(
    folder: Path, manifest: Mapping[str, Any], sizes: Architecture, specials: SpecialTokens, tokenizer: Tokenizer
) -> Pointer | None:
    """Return the pointer of a bundle whose section was checked; None if it has none.

    Raises:
        BundleError: the file is missing or altered, a number is not finite, or the tokenizer has no ";".
    """
    if "pointer" not in manifest:
        return None
    between = tokenizer.token_to_id(QUERY_SEPARATOR)
    if between is None:
        raise BundleError(f"the tokenizer has no {QUERY_SEPARATOR!r}, which a pointer needs; {EXPORT_AGAIN}")
    numbers = np.frombuffer(read_file(folder, POINTER, manifest), "<f4").astype(np.float32)
    if not np.isfinite(numbers).all():
        raise BundleError(f"{folder / POINTER} has a number that is not finite; {EXPORT_AGAIN}")
    width, hidden = sizes.d_model, manifest["pointer"]["hidden"]
    parts = np.split(numbers, np.cumsum([width * hidden, hidden, hidden, FIELD_PLACES, width]))
    inner, inner_bias, outer, place, generate, bias = parts
    return Pointer(
        np.ascontiguousarray(inner.reshape(width, hidden)),
        inner_bias, outer, place, generate, float(bias[0]), specials.sep, between,
    )  # fmt: skip
