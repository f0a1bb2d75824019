"""Hit rates by group of queries, and reading recall: of the targets that can be read, the share that is answered.

Groups of the dev pairs, by their target:
- `all`: every pair;
- `seen`: the target is the target of a training pair;
- `held_out`: the target was held out of training;
- `other`: the rest, queries that only the dev split has, or only the pairs of validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.title_pairs.pairs import Split
from evaluation.bootstrap import intervals
from evaluation.inputs import TitledQuery
from evaluation.metrics import METRICS, normal_form, score_all

NAMES = {"hr": "hr@8", "mrr": "mrr@8", "ed_hr": "within_two_edits@8"}
"""Reported metrics. hr@8 is the share whose target is generated exactly."""

Mask = npt.NDArray[np.bool_]


def group_masks(pairs: Sequence[TitledQuery], split: Split) -> dict[str, Mask]:
    """Return the masks bool [n] of the groups over the dev pairs."""
    targets = {pair.query for pair in split.train}
    seen = np.array([pair.query in targets for pair in pairs], bool)
    held_out = np.array([pair.query in split.held_out for pair in pairs], bool)
    return {"all": np.ones(len(pairs), bool), "seen": seen, "held_out": held_out, "other": ~seen & ~held_out}


def hit_rates(
    pairs: Sequence[TitledQuery], systems: dict[str, list[list[str]]], groups: dict[str, Mask]
) -> dict[str, Any]:
    """Return size and metrics of each system by group, with 95 % intervals over items; empty groups have no metrics.

    Args:
        pairs: the dev pairs.
        systems: the queries for each pair, by the name of the system.
        groups: masks over the pairs.
    """
    scores = {name: score_all(answers, [pair.query for pair in pairs]) for name, answers in systems.items()}
    items = np.array([pair.item for pair in pairs])
    found: dict[str, Any] = {}
    for group, mask in groups.items():
        found[group] = {"pairs": int(mask.sum())}
        if not mask.any():
            continue
        for name, values in scores.items():
            means, bounds = values[mask].mean(axis=0), intervals(values[mask], items[mask].tolist())
            found[group][name] = {
                label: {"mean": round(float(means[column]), 4), "interval": bounds[column].round(4).tolist()}
                for metric, label in NAMES.items()
                for column in [METRICS.index(metric)]
            }
    return found


def reading_recall(
    pairs: Sequence[TitledQuery],
    readable: Sequence[frozenset[str]],
    generated: Sequence[Sequence[str]],
    baseline: Sequence[Sequence[str]],
    groups: dict[str, Mask],
) -> dict[str, Any]:
    """Return, by group, how many targets stand in the source, and the share of them that each system answers.

    Args:
        pairs: the dev pairs.
        readable: the anchors in the source of each pair, as normal forms.
        generated: the queries of the generator.
        baseline: the first eight anchors.
        groups: masks over the pairs.

    Returns:
        For each group `in_source`, its share, and `generator` and `tfidf` among them; `beyond_eight` counts the targets
        that stand in the source behind the first eight anchors, where the baseline answers none. A share of no pairs
        is None.
    """
    wanted = [pair.query for pair in pairs]
    can_read = np.array([query in entries for query, entries in zip(wanted, readable, strict=True)], bool)
    by_generator, by_baseline = (
        np.array([query in map(normal_form, answer) for query, answer in zip(wanted, answers, strict=True)], bool)
        for answers in (generated, baseline)
    )
    found = {}
    for group, mask in groups.items():
        beyond = can_read & mask & ~by_baseline
        found[group] = {
            "in_source": int((can_read & mask).sum()),
            "share": _share(can_read, mask),
            "generator": _share(by_generator, can_read & mask),
            "tfidf": _share(by_baseline, can_read & mask),
            "beyond_eight": {"in_source": int(beyond.sum()), "generator": _share(by_generator, beyond)},
        }
    return found


def _share(values: Mask, among: Mask) -> float | None:
    return round(float(values[among].mean()), 4) if among.any() else None
