"""The public ids of a world, made from numbers as Arrow strings: no Python string for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Numbers = NDArray[np.integer[Any]]


def photo_ids(numbers: Numbers) -> pa.StringArray:
    """Return the ids of videos."""
    return _ids("p", numbers, 6)


def author_ids(numbers: Numbers) -> pa.StringArray:
    """Return the ids of creators."""
    return _ids("a", numbers, 5)


def user_ids(numbers: Numbers) -> pa.StringArray:
    """Return the ids of users."""
    return _ids("u", numbers, 6)


def impression_ids(numbers: Numbers) -> pa.StringArray:
    """Return the ids of impressions."""
    return _ids("i", numbers, 8)


def search_ids(numbers: Numbers) -> pa.StringArray:
    """Return the ids of searches."""
    return _ids("s", numbers, 8)


def named(names: pa.Array, numbers: Numbers) -> pa.DictionaryArray:
    """Return `names[n]` for each number as a dictionary array; a negative number is null."""
    return pa.DictionaryArray.from_arrays(pa.array(numbers, mask=numbers < 0).cast(pa.int32()), names)


def _ids(letter: str, numbers: Numbers, digits: int) -> pa.StringArray:
    """Return a letter and a number each, with zeros on the left up to `digits`; longer numbers keep all digits."""
    padded = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), digits, "0")
    return pc.binary_join_element_wise(letter, padded, "")
