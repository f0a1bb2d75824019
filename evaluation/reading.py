"""Reading recall: of the clicks whose target stands in the source of a bundle, the share that it answers.

A target stands in a list (anchors, histories, personal) if it is one of the entries, and in the text or the summary if
its words stand there one after another. What a token budget has cut does not count: the fields are read from the ids of
the rendered source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.bootstrap import estimate
from evaluation.metrics import CUTOFF, Scores, normal_form
from evaluation.words import has_phrase, words_of
from evidence.rows import QUERY_FIELDS
from evidence.schema import Evidence

ANY_FIELD = "any field"
BEYOND_CACHED = "beyond the first eight cached queries"
_TEXTS = ("text", "summary")
FIELDS = (*_TEXTS, *QUERY_FIELDS)

Mask = npt.NDArray[np.bool_]


def fields_with(target: str, source: Evidence) -> frozenset[str]:
    """Return the names of the fields in which a target stands.

    Args:
        target: a clicked query.
        source: what the rendered source says (`Renderer.read`).
    """
    wanted, phrase = normal_form(target), words_of(normal_form(target))
    texts = {name for name in _TEXTS if has_phrase(words_of(getattr(source, name)), phrase)}
    lists = {name for name in QUERY_FIELDS if wanted in map(normal_form, getattr(source, name))}
    return frozenset(texts | lists)


def reading_masks(
    targets: Sequence[str], sources: Sequence[Evidence], cached: Sequence[Sequence[str]]
) -> dict[str, Mask]:
    """Return masks bool[n]: where each target stands.

    Args:
        targets: n clicked queries.
        sources: what each source says.
        cached: what the baseline `cached queries` answers, best first.

    Returns:
        `any field`, each field, and targets that stand in the source, but not among the first eight cached queries.
    """
    found = [fields_with(target, source) for target, source in zip(targets, sources, strict=True)]
    missed = [
        normal_form(target) not in map(normal_form, answer[:CUTOFF])
        for target, answer in zip(targets, cached, strict=True)
    ]
    return {
        ANY_FIELD: np.array([bool(fields) for fields in found], bool),
        **{name: np.array([name in fields for fields in found], bool) for name in FIELDS},
        BEYOND_CACHED: np.array([bool(fields) and miss for fields, miss in zip(found, missed, strict=True)], bool),
    }


def reading_report(masks: Mapping[str, Mask], hits: Mapping[str, Scores], photos: Sequence[str]) -> dict[str, Any]:
    """Return, for every mask with clicks, their number, their share of all clicks, and the recall of each system.

    Args:
        masks: of `reading_masks`.
        hits: system to float64[n], 1 where the target is among the first eight.
        photos: n videos, for the intervals.
    """
    names = np.asarray(photos, dtype=object)
    return {
        part: {
            "clicks": int(mask.sum()),
            "share": round(float(mask.mean()), 4),
            "recall": {system: estimate(values[mask], names[mask].tolist()) for system, values in hits.items()},
        }
        for part, mask in masks.items()
        if mask.any()
    }
